import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { equal, Generator, memoryStats, noGrad, randn, scope, type Module } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { createModel, type Clip } from '../clip.js';
import { withChanges, type ModelConfig, type ModelConfigInput } from '../config.js';
import { modelConfig, presets } from '../presets/presets.js';
import { copyWeights } from './copy-weights.js';
import { inheritanceRecord, inheritedParts, inheritedPatterns } from './inherit-model.js';
import { inheritWeights, type Inheritance, type InheritMethod } from './inherit.js';

const seeded = (seed: number) => new Generator({ seed });
const build = (config: ModelConfig, seed: number) =>
  createModel(config, { generator: seeded(seed) });
const methods: readonly InheritMethod[] = ['module', 'tinyclip'];

/** The start of each part of the model, by its name. */
const starts = (inheritance: Inheritance) =>
  Object.fromEntries(inheritedParts(inheritance).map(({ name, start }) => [name, start]));

const pico = modelConfig('ViT-Pico-8-64', {
  embedDim: 12,
  vision: { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 4 },
  text: { width: 16, heads: 2, layers: 3, vocabSize: 20, contextLength: 8 },
});

function inherit(
  from: Clip,
  changes: ModelConfigInput,
  method: InheritMethod,
): { into: Clip; fresh: Clip; inheritance: Inheritance } {
  const config = withChanges(from.config, changes);
  const [into, fresh] = [build(config, 2), build(config, 2)];
  return { into, fresh, inheritance: inheritWeights(from, into, { method }) };
}

describe('inheritWeights', () => {
  const nano = [...presets.keys()].filter((name) => /-(Pico|Nano|Micro)-/.test(name));
  for (const name of nano) {
    it(`takes all of a model of equal sizes: ${name}`, () => {
      scope(() => {
        // A decoder is as wide as the text, and reads what the pooling of images gives.
        const sizes = modelConfig(name).decoder === null ? { width: 64, heads: 2 } : {};
        const text = { ...sizes, layers: 2, vocabSize: 50, contextLength: 8 };
        const from = build(modelConfig(name, { text }), 1);
        // The statistics of batch norms differ from the initial ones.
        noGrad(() => from.encodeImage(randn([2, 3, 64, 64], seeded(3))));
        for (const method of methods) {
          const into = createModel(from.config, { generator: null });
          const { parameters, layers } = inheritWeights(from, into, { method });
          for (const [key, value] of into.stateDict()) {
            assert.ok(equal(value, from.stateDict().get(key) ?? assert.fail(key)), key);
          }
          assert.ok(parameters.every((one) => one.start === 'inherited' && one.from === one.name));
          assert.deepEqual(layers, []);
          into.dispose();
        }
        from.dispose();
      });
    });
  }

  it('shares no memory between the two, and frees its tensors', () => {
    const from = build(pico, 1);
    const before = memoryStats().liveTensors;
    const { into, fresh } = inherit(from, { vision: { width: 8 }, embedDim: 8 }, 'tinyclip');
    into.dispose();
    fresh.dispose();
    assert.equal(memoryStats().liveTensors, before);
    assert.ok([...from.namedParameters().values()].every(({ requiresGrad }) => requiresGrad));
  });

  it('takes the first ten of twelve layers, by either method', () => {
    const from = build(withChanges(pico, { vision: { layers: 12 } }), 1);
    for (const method of methods) {
      const { into, inheritance } = inherit(from, { vision: { layers: 10 } }, method);
      for (const [key, value] of into.stateDict()) {
        assert.ok(equal(value, from.stateDict().get(key) ?? assert.fail(key)), key);
      }
      const from10 = Array.from({ length: 10 }, (_, i) => i);
      const layers = [{ name: 'visual.transformer.resblocks', from: from10, of: 12 }];
      assert.deepEqual(inheritance.layers, method === 'tinyclip' ? layers : []);
    }
  });

  it('takes no slice of a vocabulary, of kernels or of heads of another width', () => {
    const changes = {
      vision: { patchSize: 2, headWidth: 4 },
      text: { vocabSize: 18 },
    };
    const { inheritance, into, fresh } = inherit(build(pico, 1), changes, 'tinyclip');
    const found = inheritance.parameters.filter(({ start }) => start === 'fresh');
    const names = found.map(({ name }) => name.replace(/resblocks\.\d/, 'resblocks.*'));
    assert.deepEqual(new Set(names), new Set([
      'visual.conv1.weight',
      'visual.transformer.resblocks.*.attn.in_proj_weight',
      'visual.transformer.resblocks.*.attn.in_proj_bias',
      'visual.transformer.resblocks.*.attn.out_proj.weight',
      'visual.transformer.resblocks.*.attn.out_proj.bias',
      'token_embedding.weight',
    ])); // prettier-ignore
    for (const { name } of found) {
      assert.ok(
        equal(
          into.stateDict().get(name) ?? assert.fail(),
          fresh.stateDict().get(name) ?? into.logitScale,
        ),
        name,
      );
    }
  });

  it('interpolates positions by both methods, as copyWeights does', () => {
    const from = build(pico, 1);
    const changes = { vision: { imageSize: 24 }, text: { contextLength: 6 } };
    for (const method of methods) {
      const { into, fresh, inheritance } = inherit(from, changes, method);
      copyWeights(from, fresh);
      for (const [key, value] of into.stateDict()) {
        assert.ok(equal(value, fresh.stateDict().get(key) ?? assert.fail(key)), key);
      }
      assert.ok(inheritance.parameters.every(({ start }) => start === 'inherited'));
    }
  });

  it('starts blocks of another kind afresh, and keeps the rest of the tower', () => {
    const { inheritance, into, fresh } = inherit(
      build(pico, 1),
      { vision: { block: 'sas-p', poolType: 'avg' } },
      'module',
    );
    const found = starts(inheritance);
    assert.equal(found['visual.transformer'], 'fresh');
    assert.equal(found['visual.conv1'], 'inherited');
    assert.equal(found.transformer, 'inherited');
    for (const [key, value] of into.visual.namedParameters()) {
      const same = equal(value, fresh.visual.namedParameters().get(key) ?? assert.fail(key));
      if (key.startsWith('transformer.')) assert.ok(same, key);
    }
  });

  it('starts blocks afresh that serve other layers than their teacher', () => {
    const sasP: ModelConfigInput = { vision: { block: 'sas-p' } };
    const from = build(withChanges(pico, sasP), 1);
    const shared = (how: 'block' | 'attention') =>
      starts(inherit(from, { vision: { sharedLayers: 2, shared: how } }, 'module').inheritance);
    assert.equal(shared('block')['visual.transformer'], 'fresh');
    const found = shared('attention');
    const block = (i: number, what: string) => found[`visual.transformer.resblocks.${i}${what}`];
    assert.equal(block(0, '.attn'), 'fresh');
    assert.equal(block(2, '.attn'), 'fresh');
    assert.equal(block(0, '.mlp'), 'inherited');
    assert.equal(block(1, ''), 'inherited');
  });

  it('starts modules afresh that have another setting', () => {
    const changes = { quickGelu: true, vision: { headWidth: 4 } };
    const { inheritance } = inherit(build(pico, 1), changes, 'module');
    const found = starts(inheritance);
    for (const part of ['attn', 'mlp']) {
      assert.equal(found[`visual.transformer.resblocks.0.${part}`], 'fresh');
    }
    assert.equal(found['visual.transformer.resblocks.0.ln_1'], 'inherited');
    assert.equal(found['transformer.resblocks.0.attn'], 'inherited');
    assert.equal(found['transformer.resblocks.0.mlp'], 'fresh');
  });

  it("takes a decoder's layers as a tower's", () => {
    const from = build(modelConfig('coca_ViT-Nano-16-64'), 1);
    const changes = { decoder: { ...from.config.decoder, layers: 1 } };
    const { inheritance } = inherit(from, changes, 'tinyclip');
    assert.deepEqual(
      inheritance.layers.map(({ name, of }) => [name, of]),
      [
        ['text_decoder.resblocks', 3],
        ['text_decoder.cross_attn', 3],
      ],
    );
    assert.equal(starts(inheritance).text_decoder, 'inherited');
    const dense = withChanges(from.config, { decoder: null });
    const without = inheritWeights(build(dense, 2), build(from.config, 3), { method: 'module' });
    assert.equal(starts(without).text_decoder, 'fresh');
  });

  it('initialises a new bias and its scale by the configuration', () => {
    const changes = { initLogitBias: -10, initLogitScale: 2 };
    const { into, inheritance } = inherit(build(pico, 1), changes, 'module');
    assert.equal(into.logitScale.item(), 2);
    assert.equal(into.logitBias?.item(), -10);
    assert.equal(starts(inheritance).logit_scale, 'fresh');
  });

  it('throws if nothing fits, and changes nothing', () => {
    const from = build(modelConfig('Mixer-Nano-64'), 1);
    const config = modelConfig('ResNet-Nano-64', { text: { width: 64, heads: 4 } });
    const [into, fresh] = [build(config, 2), build(config, 2)];
    assert.throws(
      () => inheritWeights(from, into, { method: 'module' }),
      (error) =>
        error instanceof BantamError && error.message.includes('Nothing of the teacher fits'),
    );
    for (const [key, value] of into.stateDict()) {
      assert.ok(equal(value, fresh.stateDict().get(key) ?? assert.fail(key)), key);
    }
  });
});

describe("SiCLIP's inheritance from MobileCLIP", () => {
  const from = build(modelConfig('MobileCLIP-Nano-64'), 1);
  noGrad(() => {
    scope(() => void from.encodeImage(randn([2, 3, 64, 64], seeded(3))));
  });
  const into = build(modelConfig('SiCLIP-Nano-64'), 2);
  const inheritance = inheritWeights(from, into, { method: 'module' });

  it('is all but the transformer blocks of both towers', () => {
    const parts = inheritedParts(inheritance);
    const fresh = parts.filter(({ start }) => start === 'fresh');
    const blocks = ['visual.trunk.stages.3.blocks', 'text.transformer'];
    assert.deepEqual(
      fresh.map(({ name }) => name),
      blocks,
    );
    // SAS-P blocks of width 256, one attention for both; see SasPBlock.
    const [w, hidden, heads] = [256, 768, 8];
    const size = 2 * (2 * w * hidden + w + 2) + 2 * w * w + 2 * w + 3 * heads;
    assert.equal(fresh[0]?.size, size);
    const record = inheritanceRecord(inheritance, 'teacher');
    assert.deepEqual(record.fresh, blocks);
    assert.ok(record.inherited.includes('logit_scale'));
    assert.deepEqual(
      inheritedPatterns({ inheritance: record }),
      record.inherited.filter((name) => name !== 'logit_scale'),
    );
  });

  it('gives the modules that both have the same outputs', () => {
    scope(() => {
      noGrad(() => {
        from.eval();
        into.eval();
        const run = (model: Clip, path: string, shape: readonly number[]) => {
          const module: Module & { forward?: (x: unknown) => unknown } =
            model.namedModules().get(path) ?? assert.fail(path);
          return module.forward?.(randn(shape, seeded(4)));
        };
        for (const [path, shape] of [
          ['visual.trunk.stem.0', [2, 3, 16, 16]],
          ['visual.trunk.stages.2', [2, 64, 8, 8]],
          ['visual.trunk.stages.3.downsample', [2, 128, 4, 4]],
          ['visual.trunk.final_conv', [2, 256, 2, 2]],
          ['text.mixer_in', [2, 8, 192]],
        ] as const) {
          const [own, other] = [run(into, path, shape), run(from, path, shape)];
          assert.ok(own !== undefined && equal(own as never, other as never), path);
        }
      });
    });
  });
});
