import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  add_,
  autocast,
  equal,
  Generator,
  mul,
  noGrad,
  rand,
  randn,
  saveSafetensors,
  scope,
  sub,
  sum,
  tensor,
  to,
  type Tensor,
} from '@bantam/torch';
import {
  createModel,
  fromMobileClip,
  fromOpenClip,
  fuseModel,
  loadModel,
  modelConfig,
  parameterCount,
  parseModelConfig,
  preprocessOf,
  saveModel,
  toOpenClip,
  withChanges,
  type Clip,
  type ModelConfig,
} from '../dist/models/index.js';
import { toMobileClip } from '../dist/test-support/to-mobileclip.js';
import { readModelFixture } from './model-fixtures.js';
import {
  assertGradient,
  assertValues,
  find,
  itEqualsTheReference,
  itWorksInBfloat16,
  openReference,
  part,
  towerOf,
} from './tower-fixture.js';

/** One of OpenCLIP's models in the fixture. */
interface Preset {
  readonly model_cfg: unknown;
  readonly image: number;
  readonly fused: number;
  readonly total: number;
}

const tiny = { type: 'mobileclip', headWidth: 4 };
const cases = {
  even: { ...tiny, imageSize: 64, widths: [2, 4, 8, 16], depths: [1, 2, 1, 1], mlpRatio: 1.5 },
  odd: { ...tiny, imageSize: 40, widths: [4, 4, 4, 8], depths: [1, 1, 1, 2], mlpRatio: 2 },
  five: { ...tiny, imageSize: 64, widths: [2, 4, 4, 8, 16], depths: [1, 1, 1, 1, 2], mlpRatio: 2 },
};
const hybrid = {
  type: 'mobileclip',
  width: 8,
  heads: 2,
  layers: 2,
  kernel: 5,
  vocabSize: 20,
  contextLength: 9,
};
const published: ModelConfig = parseModelConfig({
  embedDim: 6,
  customText: true,
  vision: { ...cases.odd, projBias: false },
  text: hybrid,
});

function create(config: ModelConfig): Clip {
  return createModel(config, { generator: new Generator({ seed: 1 }) });
}

/** A model in which no parameter and no statistic has the value that it starts with. */
function trained(config: ModelConfig): Clip {
  const model = create(config);
  const generator = new Generator({ seed: 2 });
  noGrad(() => {
    scope(() => {
      for (const parameter of model.parameters()) {
        add_(parameter, mul(randn(parameter.shape, generator), 0.1));
      }
      for (const [name, buffer] of model.namedBuffers()) {
        if (!name.endsWith('batches_tracked')) add_(buffer, rand(buffer.shape, generator));
      }
    });
  });
  return model.eval();
}

function assertEqualStates(
  actual: ReadonlyMap<string, Tensor>,
  expected: ReadonlyMap<string, Tensor>,
): void {
  assert.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort());
  for (const [name, value] of expected) {
    assert.ok(equal(actual.get(name) ?? assert.fail(name), value), name);
  }
}

describe("MobileCLIP's image tower", () => {
  for (const [name, vision] of Object.entries(cases)) {
    const tower = { fixture: `mobileclip/${name}`, create: () => towerOf(vision) };
    itEqualsTheReference(tower);
    itWorksInBfloat16(tower);
  }

  it("has OpenCLIP's configurations and counts, and the paper's, as trained and fused", () => {
    const presets = readModelFixture('mobileclip/presets.json') as Record<string, Preset>;
    for (const [name, { model_cfg, ...counts }] of Object.entries(presets)) {
      const config = modelConfig(name);
      assert.deepEqual(config, fromOpenClip(model_cfg), name);
      const merged = withChanges(config, { vision: { fused: true } });
      const { image, total } = parameterCount(config);
      assert.deepEqual({ image, total, fused: parameterCount(merged).image }, counts, name);
    }
    const fused = modelConfig('MobileCLIP-S0', { vision: { fused: true }, text: { fused: true } });
    const { image, text } = parameterCount(fused);
    assert.deepEqual([Math.round(image / 1e3), Math.round(text / 1e3)], [11357, 42435]);
  });

  it('drops branches in training only, by the stream that it is given', () => {
    const tower = towerOf({ ...cases.even, dropPath: 0.5, layerScale: 1 });
    const pixels = randn([2, 3, 64, 64], new Generator({ seed: 2 }));
    const encode = (seed: number) =>
      scope(() => tower.encode(pixels, { generator: new Generator({ seed }) }).pooled).toArray();
    assert.deepEqual(encode(1), encode(1));
    assert.notDeepEqual(encode(1), encode(2));
    assert.throws(() => tower.encode(pixels), { message: /pass a generator to encodeImage/ });
    tower.eval();
    assert.deepEqual(encode(1), encode(2));
  });

  it('wants pixels from 0 to 1, resized bilinearly', () => {
    assert.deepEqual(preprocessOf(modelConfig('MobileCLIP-S0')), {
      size: 256,
      mean: [0, 0, 0],
      std: [1, 1, 1],
      interpolation: 'bilinear',
      antialias: true,
      resizeMode: 'shortest',
    });
    assert.equal(preprocessOf(modelConfig('ViT-B-32')).interpolation, 'bicubic');
  });

  for (const [what, vision, message] of [
    [
      'heads',
      { headWidth: 3 },
      /width of a stage of "vision" with attention \(16\) must be a multiple/,
    ],
    ['groups', { widths: [2, 3, 8, 16] }, /has width 3, which is no multiple of the 2 before it/],
    ['hidden units', { mlpRatio: 0.1 }, /"mlpRatio" of "vision" leaves no hidden unit/],
  ] as const) {
    it(`refuses widths that its ${what} do not divide`, () => {
      assert.throws(() => towerOf({ ...cases.even, ...vision }), { message });
    });
  }
});

describe("MobileCLIP's hybrid text tower", () => {
  const reference = openReference('mobileclip/text');
  const state = (prefix: string) => part(reference, prefix);

  for (const mode of ['eval', 'train'] as const) {
    it(`equals the reference, mode: ${mode}`, () => {
      using model = create(published);
      model.text.loadStateDict(state('weight.'));
      model.train(mode === 'train');
      scope(() => {
        const { pooled, tokens } = model.text.encode(find(reference, 'ids'), { tokens: true });
        assertValues(pooled, find(reference, `${mode}.pooled`), 2e-5, 'pooled');
        assertValues(tokens ?? assert.fail(), find(reference, `${mode}.tokens`), 2e-5, 'tokens');
        sum(mul(pooled, find(reference, 'cotangent'))).backward();
      });
      const gradients = state(`${mode}.grad.`);
      const parameters = model.text.namedParameters();
      assert.deepEqual([...parameters.keys()].sort(), [...gradients.keys()].sort());
      for (const [name, gradient] of gradients) {
        assertGradient(parameters.get(name)?.grad ?? null, gradient, 1, name);
      }
      if (mode === 'eval') return;
      const own = model.text.stateDict();
      for (const [name, value] of state('train.state.')) {
        assertValues(own.get(name) ?? assert.fail(name), value, 2e-5, name);
      }
    });
  }

  it('fills texts up to the context, and refuses longer ones', () => {
    using model = trained(published);
    scope(() => {
      const ids = (row: readonly number[]) => tensor([row], { dtype: 'int64' });
      const whole = model.encodeText(ids([5, 6, 19, 0, 0, 0, 0, 0, 0]));
      assertValues(model.encodeText(ids([5, 6, 19])), whole, 1e-6, 'features');
      const { pooled, tokens } = model.text.encode(ids([5, 6, 19]), { tokens: true });
      assertValues(pooled, whole, 1e-6, 'with tokens');
      assert.deepEqual(tokens?.shape, [1, 3, 8]);
      assert.throws(() => model.encodeText(ids(Array<number>(10).fill(1))), {
        message: /Texts of 10 tokens do not fit the model's context of 9/,
      });
    });
  });

  it('computes in bfloat16, near to float32', () => {
    using model = trained(published);
    noGrad(() => {
      scope(() => {
        const encode = () => model.encodeText(find(reference, 'ids'));
        const exact = encode();
        const half = to(autocast('bfloat16', encode), { dtype: 'float32' });
        const error = Math.hypot(...sub(half, exact).toArray());
        assert.ok(error < 0.05 * Math.hypot(...exact.toArray()), `${error}`);
      });
    });
  });

  it('needs its parameters under "text."', () => {
    assert.throws(() => withChanges(published, { customText: false }), {
      message: /set "customText" to true/,
    });
    assert.throws(() => withChanges(published, { text: { kernel: 4 } }), {
      message: /"kernel" of "text" \(4\) must be odd/,
    });
  });
});

describe('fuseModel', () => {
  it("gives timm's reparameterised weights, under its names", () => {
    const weights = part(openReference('mobileclip/even'), 'weight.');
    const fused = openReference('mobileclip/fused');
    using tower = towerOf(cases.even);
    tower.loadStateDict(weights);
    scope(() => {
      const state = tower.fusedStateDict();
      for (const [name, value] of fused) {
        assertValues(state.get(name) ?? assert.fail(name), value, 1e-6, name);
      }
      const kept = [...weights.keys()].filter((name) => state.has(name));
      assert.deepEqual([...state.keys()].sort(), [...kept, ...fused.keys()].sort());
    });
  });

  it('computes the same with fewer tensors, and keeps the model unchanged', () => {
    using model = trained(published);
    const before = [...model.stateDict().keys()];
    using fused = fuseModel(model);
    assert.deepEqual([...model.stateDict().keys()], before);
    const config = withChanges(published, { vision: { fused: true }, text: { fused: true } });
    assert.deepEqual(fused.config, config);
    assert.deepEqual(fromOpenClip(toOpenClip(fused.config)), config);
    assert.ok(fused.stateDict().size < before.length);
    noGrad(() => {
      scope(() => {
        const pixels = randn([3, 3, 40, 40], new Generator({ seed: 3 }));
        const ids = find(openReference('mobileclip/text'), 'ids');
        assertValues(fused.encodeImage(pixels), model.encodeImage(pixels), 1e-5, 'image');
        assertValues(fused.encodeText(ids), model.encodeText(ids), 1e-5, 'text');
      });
    });
    // A fused model has nothing left to merge.
    using again = fuseModel(fused);
    assert.deepEqual(again.config, config);
    assertEqualStates(again.stateDict(), fused.stateDict());
  });

  it('copies a model that has nothing to merge', () => {
    const vision = { width: 8, headWidth: 4, layers: 1, imageSize: 8, patchSize: 4 };
    const text = { width: 8, heads: 2, layers: 1, vocabSize: 20, contextLength: 9 };
    using model = create(parseModelConfig({ embedDim: 4, vision, text }));
    using fused = fuseModel(model);
    assert.deepEqual(fused.config, model.config);
    assertEqualStates(fused.stateDict(), model.stateDict());
  });
});

describe("MobileCLIP's published layout", () => {
  const reference = openReference('mobileclip/published');
  const weights = part(reference, 'weight.');

  it('is read, and written with the same bits', () => {
    using model = create(published);
    scope(() => {
      model.loadStateDict(fromMobileClip(weights, published));
      model.eval();
      const image = model.encodeImage(find(reference, 'pixels'));
      const text = model.encodeText(find(reference, 'ids'));
      assertValues(image, find(reference, 'image'), 2e-5, 'image');
      assertValues(text, find(reference, 'text'), 2e-5, 'text');
      assertEqualStates(toMobileClip(model), weights);
    });
  });

  it("gives OpenCLIP's projection a bias of 0", () => {
    const config = withChanges(published, { vision: { projBias: true } });
    using model = create(config);
    scope(() => {
      model.loadStateDict(fromMobileClip(weights, config));
      assertEqualStates(toMobileClip(model), weights);
      const bias = model.namedParameters().get('visual.trunk.head.fc.bias') ?? assert.fail();
      noGrad(() => add_(bias, 1));
      assert.throws(() => toMobileClip(model), {
        message: /no place for "visual.trunk.head.fc.bias", which is not 0/,
      });
    });
  });

  it('is read from a model directory', async () => {
    const directory = join(mkdtempSync(join(tmpdir(), 'bantam-')), 'model');
    using model = create(published);
    const preprocess = preprocessOf(published);
    await saveModel(directory, { config: published, model, preprocess });
    saveSafetensors(join(directory, 'open_clip_model.safetensors'), weights);
    const loaded = await loadModel(directory);
    using read = loaded.model;
    assert.deepEqual([loaded.config, loaded.preprocess], [published, preprocess]);
    scope(() => {
      assertEqualStates(toMobileClip(read), weights);
    });
  });

  it('holds fused models too', () => {
    using model = trained(published);
    using fused = fuseModel(model);
    scope(() => {
      const written = toMobileClip(fused);
      assert.ok(written.has('image_encoder.model.network.1.proj.0.lkb_reparam.weight'));
      assert.ok(written.has('image_encoder.model.network.6.reparam_conv.bias'));
      assert.ok(written.has('text_encoder.transformer.3.token_mixer.reparam_conv.weight'));
      assertEqualStates(fromMobileClip(written, fused.config), fused.stateDict());
    });
  });

  it('refuses weights of another model, and towers without this layout', () => {
    const flatter = withChanges(published, { vision: { depths: [1, 1, 1, 1] } });
    assert.throws(() => fromMobileClip(weights, flatter), {
      message: /network\.7\.1\.\S+ is unknown; .* more differ/,
    });
    const deeper = withChanges(published, { text: { layers: 3 } });
    assert.throws(() => fromMobileClip(weights, deeper), {
      message: /text_encoder\.transformer\.\S+ is missing/,
    });
    using vit = create(modelConfig('ViT-Pico-8-64'));
    assert.throws(() => toMobileClip(vit), { message: /no image tower of type "vit"/ });
  });
});
