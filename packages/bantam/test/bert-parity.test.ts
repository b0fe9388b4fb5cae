import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fromTypedArray, Generator, mul, narrow, noGrad, scope, sum } from '@bantam/torch';
import {
  createModel,
  fromOpenClip,
  modelConfig,
  parameterCount,
  parseModelConfig,
  toOpenClip,
  type OpenClipModelConfig,
} from '../dist/models/index.js';
import { assertGradient, assertValues, find, openReference, part } from './tower-fixture.js';

const sizes = {
  type: 'bert',
  width: 12,
  heads: 3,
  layers: 2,
  mlpRatio: 20 / 12,
  vocabSize: 30,
  contextLength: 9,
};
const roberta = {
  ...sizes,
  positions: 12,
  segments: 1,
  padId: 1,
  countsTokens: true,
  normEps: 1e-5,
};
const cases = {
  roberta: { text: { ...roberta, poolType: 'mean', projType: 'mlp' }, embedDim: 6 },
  'xlm-roberta': { text: { ...roberta, poolType: 'first', projType: 'linear' }, embedDim: 6 },
  bert: {
    text: {
      ...sizes,
      positions: 9,
      segments: 2,
      padId: 0,
      countsTokens: false,
      normEps: 1e-12,
      poolType: 'pooler',
      projType: 'none',
    },
    embedDim: 12,
  },
};

const presets = JSON.parse(
  readFileSync(new URL('../fixtures/models/bert/presets.json', import.meta.url), 'utf8'),
) as Record<string, { model_cfg: OpenClipModelConfig; parameters: object }>;

function modelOf({ text, embedDim }: (typeof cases)[keyof typeof cases]) {
  const vision = { imageSize: 16, patchSize: 8, width: 64, layers: 1 };
  const config = parseModelConfig({ embedDim, customText: true, vision, text });
  return createModel(config, { generator: new Generator({ seed: 1 }) });
}

describe("text towers of BERT's kind", () => {
  for (const [name, settings] of Object.entries(cases)) {
    const reference = openReference(`bert/${name}`);

    it(`equal transformers' in OpenCLIP's wrapper, gradients included: ${name}`, () => {
      using model = modelOf(settings);
      model.text.loadStateDict(part(reference, 'weight.'));
      scope(() => {
        const { pooled, tokens } = model.text.encode(find(reference, 'ids'), { tokens: true });
        assertValues(pooled, find(reference, 'eval.pooled'), 2e-5, 'pooled');
        assertValues(tokens ?? assert.fail(), find(reference, 'eval.tokens'), 2e-5, 'tokens');
        sum(mul(pooled, find(reference, 'cotangent'))).backward();
      });
      const gradients = part(reference, 'eval.grad.');
      const parameters = model.text.namedParameters();
      assert.deepEqual([...parameters.keys()].sort(), [...gradients.keys()].sort());
      const typical = Math.max(
        ...[...gradients.values()].map((g) => Math.abs(Math.max(...g.toArray()))),
      );
      for (const [key, gradient] of gradients) {
        assertGradient(parameters.get(key)?.grad ?? null, gradient, typical, key);
      }
    });

    it(`give a text the same features with and without padding: ${name}`, () => {
      using model = modelOf(settings);
      model.eval();
      scope(() => {
        noGrad(() => {
          const pad = BigInt(settings.text.padId);
          const ids = fromTypedArray(BigInt64Array.of(5n, 9n, 4n, pad, pad), { shape: [1, 5] });
          const short = model.encodeText(narrow(ids, 1, 0, 3));
          assertValues(model.encodeText(ids), short, 1e-6, 'text');
        });
      });
    });
  }

  for (const [name, { model_cfg: document, parameters }] of Object.entries(presets)) {
    it(`make the preset ${name} of OpenCLIP's sizes and description`, () => {
      const config = modelConfig(name);
      assert.deepEqual(config, fromOpenClip(document));
      assert.deepEqual(parameterCount(config), parameters);
      assert.deepEqual(fromOpenClip(toOpenClip(config)), config);
      assert.ok(JSON.stringify(toOpenClip(config)).includes('"hf_model_name"'));
    });
  }

  it('refuse names and settings that they do not know', () => {
    const { vision_cfg } = presets['roberta-ViT-B-32']?.model_cfg ?? assert.fail();
    const read = (text_cfg: object) => fromOpenClip({ embed_dim: 512, vision_cfg, text_cfg });
    assert.throws(() => read({ hf_model_name: 'google/mt5-base' }), {
      message: /no models with text_cfg\.hf_model_name "google\/mt5-base"/,
    });
    assert.throws(() => read({ hf_model_name: 'roberta-base', hf_pooler_type: 'max_pooler' }), {
      message: /hf_pooler_type "max_pooler"/,
    });
    const long = { ...cases.roberta, text: { ...cases.roberta.text, contextLength: 11 } };
    assert.throws(() => modelOf(long), {
      message: /"contextLength" of "text" \(11\) is more than its table of positions allows \(10\)/,
    });
  });
});
