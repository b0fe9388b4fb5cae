import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseModel } from '../train/index.js';
import { quickstartPreset } from './preset.js';

describe('quickstartPreset', () => {
  it('trains the model that a run on as few images would choose', () => {
    assert.equal(quickstartPreset.model, chooseModel(14_092).model);
  });

  it('measures thirty searches with known answers', () => {
    assert.equal(quickstartPreset.answered.length, 30);
  });
});
