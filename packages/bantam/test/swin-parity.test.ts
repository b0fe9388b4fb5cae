import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { autocast, Generator, mean, noGrad, randn, scope, sub, abs, to } from '@bantam/torch';
import {
  createModel,
  modelConfig,
  parameterCount,
  parseModelConfig,
} from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';
import { itEqualsTheReference } from './tower-fixture.js';

const tiny = { type: 'swin', width: 4, depths: [2, 2, 1, 1], dropPath: 0 };
const cases = {
  fitting: { ...tiny, imageSize: 56, heads: [1, 2, 2, 4] },
  padded: { ...tiny, imageSize: 72, heads: [2, 1, 4, 2], windowSize: 4, mlpRatio: 2.5 },
};

function build(vision: object) {
  const config = parseModelConfig({
    embedDim: 6,
    vision,
    text: { width: 64, heads: 1, layers: 1 },
  });
  return createModel(config, { generator: new Generator({ seed: 1 }) }).visual;
}

describe('SwinTransformer', () => {
  for (const [name, vision] of Object.entries(cases)) {
    itEqualsTheReference({ fixture: `swin/${name}`, create: () => build(vision) });
  }

  it("has timm's parameter counts", () => {
    const counts = readModelFixture('swin/presets.json') as Record<string, number>;
    for (const [name, count] of Object.entries(counts)) {
      assert.equal(parameterCount({ ...modelConfig(name), embedDim: 512 }).image, count);
    }
  });

  it('computes in bfloat16 under autocast, near to float32', () => {
    const tower = build(cases.padded).eval();
    const pixels = randn([2, 3, 72, 72], new Generator({ seed: 2 }));
    noGrad(() => {
      scope(() => {
        const exact = tower.encode(pixels).pooled;
        const half = autocast('bfloat16', () => tower.encode(pixels).pooled);
        const error = mean(abs(sub(to(half, { dtype: 'float32' }), exact))).item();
        assert.ok(error < 0.02 * mean(abs(exact)).item() + 0.01, `${error}`);
      });
    });
  });

  it('drops branches in training only, by the stream that it is given', () => {
    const tower = build({ ...cases.fitting, dropPath: 0.5 });
    const pixels = randn([2, 3, 56, 56], new Generator({ seed: 2 }));
    const encode = (seed: number) =>
      scope(() => tower.encode(pixels, { generator: new Generator({ seed }) }).pooled).toArray();
    assert.deepEqual(encode(1), encode(1));
    assert.notDeepEqual(encode(1), encode(2));
    assert.throws(() => tower.encode(pixels), { message: /pass a generator to encodeImage/ });
    tower.eval();
    assert.deepEqual(encode(1), encode(2));
  });
});
