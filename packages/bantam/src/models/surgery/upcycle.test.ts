import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  abs,
  all,
  autocast,
  fill_,
  Generator,
  isFinite,
  max,
  noGrad,
  onDevice,
  randn,
  scope,
  sub,
  sum,
  tensor,
  to,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { MixtureOfExperts } from '../blocks/mixture-of-experts.js';
import { createModel, type Clip } from '../clip.js';
import { parseModelConfig, withChanges, type ModelConfigInput } from '../config.js';
import { loadModel, saveModel } from '../io/directory.js';
import { countModelFlops } from '../../test-support/count-model-flops.js';
import { modelFlops, parameterCount } from '../cost/flops.js';
import { preprocessFor } from '../preprocess.js';
import { modelConfig } from '../presets/presets.js';
import { upcycle, type UpcycleOptions } from './upcycle.js';

const config = parseModelConfig({
  embedDim: 12,
  vision: { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 4, poolType: 'avg' },
  text: { width: 16, heads: 2, layers: 3, vocabSize: 20, contextLength: 8 },
});

const seeded = (seed: number) => new Generator({ seed });
const pixels = () => randn([3, 3, 16, 16], seeded(2));
const ids = () => tensor([[1, 4, 19, 0], [1, 2, 5, 19], [7, 19, 0, 0]], { dtype: 'int64' }); // prettier-ignore

function build(changes: ModelConfigInput = {}): Clip {
  return createModel(withChanges(config, changes), { generator: seeded(1) });
}

function sparse(model: Clip, options: Omit<UpcycleOptions, 'generator'> = {}): Clip {
  return upcycle(model, { ...options, generator: seeded(3) });
}

function difference(a: Tensor, b: Tensor): number {
  return max(abs(sub(to(a, { dtype: 'float32' }), b))).item();
}

function assertEqualFeatures(a: Clip, b: Clip): void {
  noGrad(() => {
    scope(() => {
      assert.ok(difference(a.encodeImage(pixels()), b.encodeImage(pixels())) <= 1e-6);
      assert.ok(difference(a.encodeText(ids()), b.encodeText(ids())) <= 1e-6);
    });
  });
}

const mixtures = (model: Clip): MixtureOfExperts[] =>
  [...model.namedModules().values()].filter((module) => module instanceof MixtureOfExperts);

describe('upcycle', () => {
  for (const options of [{}, { text: null }, { vision: { experts: 3, topK: 1, every: 1 } }]) {
    it(`has the dense model's features: ${JSON.stringify(options)}`, () => {
      const dense = build();
      assertEqualFeatures(sparse(dense, options).eval(), dense.eval());
    });
  }

  it('has them in training too, though every token wants the same experts and few have room', () => {
    const dense = build();
    const model = sparse(dense, { vision: { capacityFactor: 1 }, text: { capacityFactor: 1 } });
    for (const { router } of mixtures(model)) {
      noGrad(() => fill_(router.weight, 0));
    }
    assert.equal(model.training, true);
    assertEqualFeatures(model, dense);
  });

  it('initialises routers differently, and copies all else', () => {
    const model = sparse(build());
    const [first, second, ...rest] = mixtures(model);
    assert.ok(first && second);
    assert.equal(rest.length, 1, 'blocks 1 and 3 of the image tower, block 1 of the text tower');
    assert.notDeepEqual(first.router.weight.toArray(), second.router.weight.toArray());
    const [a, b] = first.experts;
    assert.deepEqual(a?.cFc.weight.toArray(), b?.cFc.weight.toArray());
  });

  it('refuses a model that has mixtures, or blocks without room for them', () => {
    const model = sparse(build());
    const refused = (body: () => unknown, message: RegExp) => {
      assert.throws(body, (error) => error instanceof BantamError && message.test(error.message));
    };
    using other = onDevice('meta', () => createModel(modelConfig('RN50'), { generator: null }));
    refused(() => sparse(other), /type "modified-resnet" cannot be upcycled; leave "vision" dense/);
    refused(() => sparse(model), /"vision" has mixtures of experts already/);
    refused(
      () => sparse(build({ vision: { block: 'sas-p' } })),
      /"moe" of "vision" needs pre-norm/,
    );
    refused(() => sparse(build(), { text: { topK: 9 } }), /to 9 of 8 experts/);
    refused(() => sparse(build(), { text: { every: 4 } }), /each 4 blocks, but there are 3/);
    refused(
      () => sparse(build(), { text: { capacityFactor: 0.5 } }),
      /is 0.5, which leaves no room/,
    );
  });

  it('comes back from a model directory', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bantam-'));
    try {
      const model = sparse(build({ vision: { sharedLayers: 2 } })).eval();
      const out = join(folder, 'model');
      const preprocess = preprocessFor(16);
      await saveModel(out, { config: model.config, model, preprocess });
      const loaded = await loadModel(out);
      assert.deepEqual(loaded.config, model.config);
      assertEqualFeatures(loaded.model, model);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('a model with mixtures of experts', () => {
  const moe = withChanges(config, { vision: { moe: {} }, text: { moe: { every: 3 } } });

  it('has the parameters of all experts, and the FLOPs of those that a token is sent to', () => {
    const unit = 2 * 16 * 64 + 64 + 16;
    const [before, after] = [config, moe].map(parameterCount);
    assert.equal((after?.image ?? 0) - (before?.image ?? 0), 2 * (7 * unit + 8 * 16));
    assert.equal((after?.text ?? 0) - (before?.text ?? 0), 7 * unit + 8 * 16);
    const [dense, routed] = [config, moe].map((each) => modelFlops(each));
    const more = 2 * (2 * 16 * 64 + 16 * 8);
    assert.equal((routed?.image ?? 0) - (dense?.image ?? 0), 2 * 17 * more);
    assert.equal((routed?.text ?? 0) - (dense?.text ?? 0), 8 * more);
    assert.deepEqual(countModelFlops(moe), routed);
  });

  it('has an auxiliary loss for each row in training alone', () => {
    scope(() => {
      const model = createModel(moe, { generator: seeded(1) });
      const { auxiliaryLoss } = model.visual.encode(pixels());
      assert.deepEqual(auxiliaryLoss?.shape, [3]);
      sum(auxiliaryLoss).backward();
      for (const { router } of mixtures(model).slice(0, 2)) assert.ok(router.weight.grad);
      assert.equal(model.eval().visual.encode(pixels()).auxiliaryLoss, undefined);
    });
  });

  it('is near itself in bfloat16, with finite gradients', () => {
    const model = createModel(moe, { generator: seeded(1) });
    scope(() => {
      const exact = model.encodeImage(pixels(), { normalize: true });
      const rough = autocast('bfloat16', () => model.encodeImage(pixels(), { normalize: true }));
      assert.ok(difference(rough, exact) < 0.05);
      sum(to(rough, { dtype: 'float32' })).backward();
      for (const [name, { grad }] of model.visual.namedParameters()) {
        assert.ok(grad !== null && all(isFinite(grad)).item() === 1, name);
      }
    });
  });
});
