import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BantamError } from '../../../base/errors.js';
import { withChanges, type ModelConfig } from '../../config.js';
import { fromOpenClip, toOpenClip } from './open-clip-config.js';
import { modelConfig, presets } from '../../presets/presets.js';

const plain = { embed_dim: 512, vision_cfg: {}, text_cfg: {} };

/** A configuration in which no option that OpenCLIP has is at its default. */
const unusual: ModelConfig = {
  embedDim: 48,
  quickGelu: false,
  customText: true,
  initLogitScale: 2,
  initLogitBias: -10,
  vision: {
    type: 'vit',
    imageSize: 64,
    patchSize: 8,
    width: 96,
    layers: 3,
    headWidth: 32,
    mlpRatio: 2.5,
    lsInitValue: 0.1,
    normEps: 1e-6,
    geluTanh: true,
    block: 'pre-norm',
    sharedLayers: 1,
    shared: 'block',
    moe: null,
    patchDropout: 0.5,
    noLnPre: true,
    posEmbedType: 'sin_cos_2d',
    poolType: 'avg',
    finalLnAfterPool: true,
    attentionalPool: true,
    attnPoolerQueries: 5,
    attnPoolerHeads: 3,
  },
  text: {
    type: 'transformer',
    contextLength: 16,
    vocabSize: 1000,
    width: 64,
    heads: 2,
    layers: 2,
    mlpRatio: 3,
    lsInitValue: 1e-4,
    normEps: 1e-6,
    geluTanh: true,
    block: 'pre-norm',
    sharedLayers: 1,
    shared: 'block',
    moe: null,
    embedCls: true,
    noCausalMask: true,
    maskPadding: false,
    poolType: 'eos',
    textEnd: 'argmax',
    padId: 1,
    eosId: 3,
    projType: 'linear',
    projBias: true,
    hfTokenizerName: 'bert-base-uncased',
    tokenizerKwargs: { clean: 'lower' },
  },
  decoder: null,
};

const captioning = modelConfig('coca_ViT-B-32', {
  decoder: { layers: 2, heads: 4, lsInitValue: 0.1 },
});

describe('toOpenClip', () => {
  it('writes what fromOpenClip reads, for every preset and every option', () => {
    for (const config of [...presets.values(), unusual, captioning]) {
      const written = JSON.parse(JSON.stringify(toOpenClip(config))) as unknown;
      assert.deepEqual(fromOpenClip(written), config);
    }
  });

  it("uses OpenCLIP's names, and leaves out options at their default", () => {
    assert.deepEqual(toOpenClip(modelConfig('ViT-B-32-quickgelu')), {
      embed_dim: 512,
      quick_gelu: true,
      vision_cfg: {
        image_size: 224,
        patch_size: 32,
        width: 768,
        head_width: 64,
        layers: 12,
        mlp_ratio: 4,
      },
      text_cfg: {
        context_length: 77,
        vocab_size: 49408,
        width: 512,
        heads: 8,
        layers: 12,
        mlp_ratio: 4,
      },
    });
    const { vision_cfg, text_cfg } = toOpenClip(unusual);
    assert.deepEqual(vision_cfg, {
      image_size: 64,
      patch_size: 8,
      width: 96,
      layers: 3,
      head_width: 32,
      mlp_ratio: 2.5,
      ls_init_value: 0.1,
      patch_dropout: 0.5,
      no_ln_pre: true,
      pos_embed_type: 'sin_cos_2d',
      pool_type: 'avg',
      final_ln_after_pool: true,
      attentional_pool: true,
      attn_pooler_queries: 5,
      attn_pooler_heads: 3,
      norm_kwargs: { eps: 1e-6 },
      act_kwargs: { approximate: 'tanh' },
    });
    assert.deepEqual(Object.keys(text_cfg as object).sort(), [
      'act_kwargs',
      'context_length',
      'embed_cls',
      'eos_id',
      'heads',
      'hf_tokenizer_name',
      'layers',
      'ls_init_value',
      'mlp_ratio',
      'no_causal_mask',
      'norm_kwargs',
      'pad_id',
      'pool_type',
      'proj_bias',
      'tokenizer_kwargs',
      'vocab_size',
      'width',
    ]);
  });
});

describe("a decoder's configuration", () => {
  it('asks OpenCLIP for the tokens of both towers', () => {
    const { vision_cfg, text_cfg, multimodal_cfg } = toOpenClip(captioning);
    assert.ok((vision_cfg as { output_tokens: boolean }).output_tokens);
    assert.ok((text_cfg as { output_tokens: boolean }).output_tokens);
    assert.deepEqual(multimodal_cfg, {
      context_length: 76,
      vocab_size: 49408,
      width: 512,
      layers: 2,
      heads: 4,
      ls_init_value: 0.1,
    });
  });
});

describe('towers that OpenCLIP lacks', () => {
  it('stand under the name bantam, and are read again', () => {
    for (const text of [
      { noCausalMask: true, maskPadding: true },
      { poolType: 'mean', textEnd: 'eos' },
    ] as const) {
      const config = withChanges(modelConfig('ViT-Ti-16'), { text });
      const written = toOpenClip(config);
      assert.deepEqual(written.text_cfg, { bantam: config.text });
      assert.deepEqual(fromOpenClip(written), config);
    }
  });
});

describe('fromOpenClip', () => {
  it('reads pairs of equal sizes and members that change nothing', () => {
    const config = fromOpenClip({
      ...plain,
      init_logit_bias: null,
      vision_cfg: { image_size: [256, 256], patch_size: 32, timm_model_name: '', timm_pool: 'avg' },
      text_cfg: { embed_cls: false, hf_model_pretrained: true, output_tokens: false },
    });
    assert.deepEqual(config, modelConfig('ViT-B-32-256'));
  });

  it('reads an avg-pooled tower without first norm', () => {
    const read = fromOpenClip({ ...plain, vision_cfg: { pool_type: 'avg', no_ln_pre: true } });
    const changed = withChanges(modelConfig('ViT-B-16'), {
      vision: { poolType: 'avg', noLnPre: true },
    });
    assert.deepEqual(read, changed);
  });

  const refused: [string, unknown, RegExp][] = [
    ['no object', undefined, /"model_cfg" is missing/],
    ['no text', { embed_dim: 2, vision_cfg: {} }, /"text_cfg" is missing/],
    [
      'a misspelt member',
      { ...plain, vision_cfg: { patchsize: 8 } },
      /"patchsize" of vision_cfg is not known.*did you mean "patch_size"/,
    ],
    [
      'towers of other kinds, all named at once',
      {
        ...plain,
        multimodal_cfg: { width: 8, context_length: 60 },
        vision_cfg: { qk_norm: true },
        text_cfg: { hf_model_name: 'google/mt5-base' },
      },
      /no models with vision_cfg\.qk_norm true, text_cfg\.hf_model_name "google\/mt5-base", multimodal_cfg\.width 8, multimodal_cfg\.context_length 60;/,
    ],
    ['a wrong value', { ...plain, text_cfg: { heads: 'many' } }, /"heads" of .* is "many"/],
  ];
  for (const [what, json, message] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => fromOpenClip(json),
        (error) => error instanceof BantamError && message.test(error.message),
      );
    });
  }
});
