import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseModel } from '../train/index.js';
import { quickstartRecipe } from './recipe.js';

describe("the quickstart's recipe", () => {
  it('trains the model that a run on as few images would choose', () => {
    assert.equal(quickstartRecipe.model, chooseModel(14_092).model);
  });
});
