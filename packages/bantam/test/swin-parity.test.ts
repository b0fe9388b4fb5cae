import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Generator, randn, scope } from '@bantam/torch';
import { modelConfig, parameterCount } from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';
import { itEqualsTheReference, itWorksInBfloat16, towerOf } from './tower-fixture.js';

const tiny = { type: 'swin', width: 4, depths: [2, 2, 1, 1], dropPath: 0 };
const cases = {
  fitting: { ...tiny, imageSize: 56, heads: [1, 2, 2, 4] },
  padded: { ...tiny, imageSize: 72, heads: [2, 1, 4, 2], windowSize: 4, mlpRatio: 2.5 },
};

describe('SwinTransformer', () => {
  for (const [name, vision] of Object.entries(cases)) {
    const tower = { fixture: `swin/${name}`, create: () => towerOf(vision) };
    itEqualsTheReference(tower);
    itWorksInBfloat16(tower);
  }

  it("has timm's parameter counts", () => {
    const counts = readModelFixture('swin/presets.json') as Record<string, number>;
    for (const [name, count] of Object.entries(counts)) {
      assert.equal(parameterCount({ ...modelConfig(name), embedDim: 512 }).image, count);
    }
  });

  it('drops branches in training only, by the stream that it is given', () => {
    const tower = towerOf({ ...cases.fitting, dropPath: 0.5 });
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
