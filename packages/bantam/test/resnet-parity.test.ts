import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  createModel,
  modelConfig,
  parameterCount,
  parseModelConfig,
} from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';
import { itEqualsTheReference, itWorksInBfloat16, towerOf } from './tower-fixture.js';

const modified = { type: 'modified-resnet', width: 2 };
const cases = {
  'modified-64': { ...modified, imageSize: 64, depths: [1, 2, 1, 1], headWidth: 16 },
  'modified-96': { ...modified, imageSize: 96, depths: [1, 1, 1, 1], headWidth: 32 },
  'plain-50': { type: 'resnet', imageSize: 50, width: 2, depths: [1, 2, 1, 1] },
};

describe('residual networks', () => {
  for (const [name, vision] of Object.entries(cases)) {
    const tower = { fixture: `resnet/${name}`, create: () => towerOf(vision) };
    itEqualsTheReference(tower);
    itWorksInBfloat16(tower);
  }

  it("have OpenCLIP's and timm's parameter counts", () => {
    const counts = readModelFixture('resnet/presets.json') as Record<string, number>;
    for (const [name, count] of Object.entries(counts)) {
      const { image, total } = parameterCount(modelConfig(name));
      assert.equal(name.startsWith('RN') ? total : image, count, name);
    }
  });

  it('start with blocks that are their shortcuts', () => {
    using model = createModel(parseModelConfig({ embedDim: 6, vision: cases['plain-50'] }), {
      generator: null,
    });
    const gains = [...model.visual.namedParameters()].filter(([name]) =>
      name.endsWith('bn3.weight'),
    );
    assert.equal(gains.length, 5);
    for (const [, gain] of gains) assert.ok(gain.toArray().every((value) => value === 0));
  });
});
