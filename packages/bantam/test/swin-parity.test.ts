import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { modelConfig, parameterCount } from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';
import {
  itDropsBranchesInTrainingOnly,
  itEqualsTheReference,
  itWorksInBfloat16,
  towerOf,
} from './tower-fixture.js';

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

  itDropsBranchesInTrainingOnly({
    imageSize: 56,
    create: (dropPath) => towerOf({ ...cases.fitting, dropPath }),
  });

  it("has timm's parameter counts", () => {
    const counts = readModelFixture('swin/presets.json') as Record<string, number>;
    for (const [name, count] of Object.entries(counts)) {
      assert.equal(parameterCount({ ...modelConfig(name), embedDim: 512 }).image, count);
    }
  });
});
