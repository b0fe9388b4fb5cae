import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BantamError } from '../../base/errors.js';
import { checkRecipe, drawCaption } from './captions.js';
import { Draws } from '../counter-rng.js';
import { plainCaptions, type DataRecord } from './source.js';

const record: DataRecord = {
  key: 'k',
  captions: ['red apple', 'an apple'],
  label: 'fruit',
  meta: { name: 'apple', tags: 'red, round, sweet', empty: '' },
};

function drawn(template: string, times = 200): Set<string> {
  const recipe = { forms: [{ weight: 1, template }] };
  return new Set(
    Array.from({ length: times }, (_, index) =>
      drawCaption(record, recipe, new Draws({ seed: 1, purpose: 'caption', epoch: 0, index })),
    ),
  );
}

describe('drawCaption', () => {
  it('draws among the captions', () => {
    assert.deepEqual([...drawn('{caption}')].sort(), ['an apple', 'red apple']);
  });

  it('fills in metadata and the label', () => {
    assert.deepEqual([...drawn('{name} ({label})')], ['apple (fruit)']);
  });

  it('draws shuffled members of a list, up to a number', () => {
    const captions = [...drawn('{tags:2}', 1000)];
    // 3 single ones and 3 × 2 ordered pairs.
    assert.equal(captions.length, 9);
    assert.ok(captions.includes('sweet, red') && captions.includes('red, sweet'));
  });

  it('leaves no trace of what is missing', () => {
    assert.deepEqual([...drawn('{name}, {empty:3}')], ['apple']);
    assert.deepEqual([...drawn('{empty}, {name}, {nothing}, {label}')], ['apple, fruit']);
    assert.deepEqual([...drawn('{empty}')], ['red apple']);
  });

  it('draws forms by weight', () => {
    const recipe = {
      forms: [
        { weight: 3, template: '{name}' },
        { weight: 1, template: '{label}' },
      ],
    };
    let names = 0;
    for (let index = 0; index < 2000; index++) {
      const draws = new Draws({ seed: 1, purpose: 'caption', epoch: 0, index });
      if (drawCaption(record, recipe, draws) === 'apple') names++;
    }
    assert.ok(Math.abs(names - 1500) < 80, String(names));
  });
});

describe('checkRecipe', () => {
  it('accepts the plain recipe', () => {
    checkRecipe(plainCaptions);
  });

  it('refuses no forms, no weight, and no field', () => {
    for (const forms of [
      [],
      [{ weight: 0, template: '{caption}' }],
      [{ weight: 1, template: 'a cat' }],
    ]) {
      assert.throws(() => {
        checkRecipe({ forms });
      }, BantamError);
    }
  });
});
