import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  autocast,
  copy_,
  equal,
  fromTypedArray,
  Generator,
  LowRank,
  memoryStats,
  mul,
  noGrad,
  randn,
  scope,
  sub,
  sum,
  to,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { withGradCheckpointing } from '../blocks/run-block.js';
import { createModel, type Clip } from '../clip.js';
import { parseModelConfig, withChanges, type ModelConfig } from '../config.js';
import { modelConfig, presets } from '../presets/presets.js';
import { adaptableLayers, addLora, loraChanges, mergedWeights, type LoraSettings } from './lora.js';

const settings: LoraSettings = {
  rank: 3,
  alpha: 6,
  rankStabilized: false,
  dropout: 0,
  targets: ['*'],
};

const seeded = (seed: number) => new Generator({ seed });
const dropout = seeded(6);
const start = dropout.state();
const streams = () => ({ init: seeded(5), dropout });

/** A model with low-rank changes that are not zero. */
function changed(config: ModelConfig, changes: Partial<LoraSettings> = {}): Clip {
  const model = createModel(config, { generator: seeded(1) });
  addLora(model, { ...settings, ...changes }, streams());
  const generator = seeded(7);
  for (const module of model.namedModules().values()) {
    if (module instanceof LowRank)
      noGrad(() => copy_(module.b, mul(randn(module.b.shape, generator), 0.2)));
  }
  return model.eval();
}

function idsFor({ text }: ModelConfig): Tensor {
  const { contextLength, vocabSize } = text;
  const length = Math.min(contextLength, 7);
  const last = (i: number) =>
    i % length === length - 1 ? vocabSize - 1 : (i * 37) % (vocabSize - 1);
  return fromTypedArray(
    BigInt64Array.from({ length: 2 * length }, (_, i) => BigInt(last(i))),
    { shape: [2, length] },
  );
}

/** Both features of a model. */
function features(model: Clip): Tensor[] {
  const { imageSize } = model.config.vision;
  const pixels = randn([2, 3, imageSize, imageSize], seeded(3));
  return [model.encodeImage(pixels), model.encodeText(idsFor(model.config))];
}

const distance = (a: Tensor, b: Tensor): number =>
  Math.hypot(...sub(to(a, { dtype: 'float32' }), to(b, { dtype: 'float32' })).toArray()) /
  Math.hypot(...to(b, { dtype: 'float32' }).toArray());

const bert = parseModelConfig({
  embedDim: 12,
  customText: true,
  vision: { imageSize: 16, patchSize: 8, width: 16, headWidth: 8, layers: 1 },
  text: {
    type: 'bert',
    width: 12,
    heads: 3,
    layers: 2,
    mlpRatio: 2,
    vocabSize: 30,
    contextLength: 7,
    positions: 9,
    poolType: 'mean',
    projType: 'mlp',
  },
});

const small: [string, ModelConfig][] = [
  ...[...presets.keys()]
    .filter((name) => /-(Pico|Nano|Micro)-/.test(name))
    .map((name): [string, ModelConfig] => [name, modelConfig(name)]),
  ['a text tower of BERT', bert],
];

describe('addLora', () => {
  for (const [name, config] of small) {
    it(`computes what the merged weights compute, in every layer of ${name}`, () => {
      scope(() => {
        noGrad(() => {
          using plain = createModel(config, { generator: seeded(1) });
          using model = changed(config);
          using merged = createModel(config, { generator: null });
          merged.loadStateDict(mergedWeights(model));
          const [before, after, wanted] = [plain.eval(), model, merged.eval()].map(features);
          assert.ok(before && after && wanted);
          for (const [i, feature] of wanted.entries()) {
            const [own, first] = [after[i], before[i]];
            assert.ok(own && first);
            assert.ok(distance(own, feature) < 2e-4, `${i}: ${distance(own, feature)}`);
          }
          // The towers have layers to change, but for convolutional ones.
          assert.ok(before.some((feature, i) => distance(feature, wanted[i] ?? feature) > 1e-2));
        });
      });
    });
  }

  it('changes each layer that it names alone', () => {
    const config = modelConfig('ViT-Nano-16-64');
    const names = [...adaptableLayers(createModel(config, { generator: null })).keys()];
    assert.deepEqual(names.slice(0, 3), [
      'visual.transformer.resblocks.0.attn',
      'visual.transformer.resblocks.0.mlp.c_fc',
      'visual.transformer.resblocks.0.mlp.c_proj',
    ]);
    const model = createModel(config, { generator: seeded(1) });
    assert.deepEqual(addLora(model, { ...settings, targets: ['visual.*.1.attn', '*.c_fc'] }, streams()), [
      'visual.transformer.resblocks.0.mlp.c_fc',
      'visual.transformer.resblocks.1.attn',
      ...names.filter((name) => name.endsWith('c_fc')).slice(1),
    ].sort((a, b) => names.indexOf(a) - names.indexOf(b))); // prettier-ignore
    const weights = loraChanges(model).map(({ weight }) => weight);
    assert.ok(weights.includes('visual.transformer.resblocks.1.attn.in_proj_weight'));
    assert.ok(weights.includes('visual.transformer.resblocks.1.attn.out_proj.weight'));
    assert.ok(!weights.includes('visual.transformer.resblocks.0.attn.in_proj_weight'));
    const learning = [...model.namedParameters()].filter(([, { requiresGrad }]) => requiresGrad);
    assert.ok(learning.every(([name]) => /\.lora\.[ab]$/.test(name)));
    assert.equal(learning.length, 2 * weights.length);
  });

  it('starts from the same features, and A within 1/√in', () => {
    scope(() => {
      const config = modelConfig('ViT-Pico-8-64');
      const plain = createModel(config, { generator: seeded(1) }).eval();
      const model = createModel(config, { generator: seeded(1) });
      addLora(model, settings, streams());
      model.eval();
      const [own, wanted] = [features(model), features(plain)];
      assert.ok(wanted.every((feature, i) => equal(feature, own[i] ?? feature)));
      const { a, b } = loraChanges(model)[0] ?? assert.fail();
      const state = model.stateDict();
      const values = (state.get(a) ?? assert.fail()).toArray();
      const bound = (state.get(a) ?? assert.fail()).dim(1) ** -0.5;
      const most = Math.max(...values.map(Math.abs));
      assert.ok(most <= bound && most > 0.9 * bound);
      assert.ok((state.get(b) ?? assert.fail()).toArray().every((value) => value === 0));
    });
  });

  for (const [rankStabilized, scale] of [
    [false, 2],
    [true, 6 / Math.sqrt(3)],
  ] as const) {
    it(`scales by ${rankStabilized ? 'α/√r' : 'α/r'}`, () => {
      const model = changed(modelConfig('ViT-Pico-8-64'), { rankStabilized });
      assert.ok(loraChanges(model).every((change) => change.scale === scale));
    });
  }

  it('computes under autocast near to float32, gradients included', () => {
    const model = changed(modelConfig('ViT-Pico-8-64'));
    const gradients = (dtype: 'float32' | 'bfloat16') =>
      scope(() => {
        autocast(dtype, () => sum(features(model).map((x) => sum(mul(x, x))).reduce((x, y) => sub(x, mul(y, -1))))).backward(); // prettier-ignore
        const found = model.parameters().flatMap(({ grad }) => grad?.toArray() ?? []);
        model.zeroGrad();
        return found;
      });
    const [exact, half] = [gradients('float32'), gradients('bfloat16')];
    assert.equal(half.length, exact.length);
    const error = Math.hypot(...exact.map((value, i) => value - (half[i] ?? 0)));
    assert.ok(error < 0.05 * Math.hypot(...exact), `${error / Math.hypot(...exact)}`);
  });

  it('drops inputs of the changes in training alone', () => {
    scope(() => {
      noGrad(() => {
        const model = changed(modelConfig('ViT-Pico-8-64'), { dropout: 0.5 });
        const exact = features(model);
        assert.ok(features(model).every((feature, i) => equal(feature, exact[i] ?? feature)));
        model.train();
        const [first, second] = [features(model), features(model)];
        assert.ok(first.every((feature, i) => !equal(feature, second[i] ?? feature)));
        model.eval();
        assert.ok(features(model).every((feature, i) => equal(feature, exact[i] ?? feature)));
      });
    });
  });

  it('samples the same dropout again under gradient checkpointing', () => {
    const model = changed(modelConfig('ViT-Pico-8-64'), { dropout: 0.5 }).train();
    const gradients = (enabled: boolean) =>
      scope(() => {
        // The generator of the dropout is that of the model's changes.
        dropout.setState(start);
        const [image] = withGradCheckpointing(enabled, () => features(model));
        assert.ok(image);
        sum(mul(image, image)).backward();
        const found = model.parameters().map(({ grad }) => grad?.toArray() ?? null);
        model.zeroGrad();
        return found;
      });
    assert.deepEqual(gradients(true), gradients(false));
  });

  it('leaves frozen layers without a change, and batch norms their statistics', () => {
    const config = withChanges(modelConfig('ModifiedResNet-Nano-64'), {});
    const model = createModel(config, { generator: seeded(1) });
    model.freeze(['transformer']);
    const names = addLora(model, settings, streams());
    assert.ok(names.length > 0 && names.every((name) => name.startsWith('visual.attnpool')));
    const before = [...model.namedBuffers()].map(([name, buffer]) => [name, buffer.toArray()]);
    scope(() => {
      noGrad(() => features(model));
    });
    const after = [...model.namedBuffers()].map(([name, buffer]) => [name, buffer.toArray()]);
    assert.deepEqual(after, before);
  });

  it('frees its tensors with the model', () => {
    const { liveTensors } = memoryStats();
    scope(() => {
      const model = changed(modelConfig('ViT-Pico-8-64'));
      noGrad(() => mergedWeights(model));
      model.dispose();
    });
    assert.equal(memoryStats().liveTensors, liveTensors);
  });

  it('refuses patterns that match no layer, and layers that are all frozen', () => {
    const model = createModel(modelConfig('ViT-Pico-8-64'), { generator: null });
    const refused = (targets: readonly string[], message: RegExp) => {
      assert.throws(
        () => addLora(model, { ...settings, targets }, streams()),
        (error) => {
          assert.ok(error instanceof BantamError);
          assert.match(error.message, message);
          return true;
        },
      );
    };
    refused(
      ['*.attn', '*.c_fd'],
      /^"\*\.c_fd" of "targets" of LoRA matches none of the model's \d+/,
    );
    refused(['visual.proj'], /matches none of .* linear layers and attentions/);
    model.freeze(['visual']);
    refused(['visual.*'], /^All layers that "targets" of LoRA names are frozen;/);
  });
});
