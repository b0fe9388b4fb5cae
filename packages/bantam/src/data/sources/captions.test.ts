import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BantamError } from '../../base/errors.js';
import { checkCaptionTemplates, hasCaptions, sampleCaption } from './captions.js';
import { CounterRng } from '../counter-rng.js';
import { plainCaptions, type DataRecord } from './source.js';

const record: DataRecord = {
  key: 'k',
  captions: ['red apple', 'an apple'],
  label: 'fruit',
  meta: { name: 'apple', tags: 'red, round, sweet', empty: '' },
};

function drawn(template: string, times = 200): Set<string> {
  const captionTemplates = { templates: [{ weight: 1, template }] };
  return new Set(
    Array.from({ length: times }, (_, index) =>
      sampleCaption(
        record,
        captionTemplates,
        new CounterRng({ seed: 1, purpose: 'caption', epoch: 0, index }),
      ),
    ),
  );
}

describe('sampleCaption', () => {
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

  it('draws templates by weight', () => {
    const captionTemplates = {
      templates: [
        { weight: 3, template: '{name}' },
        { weight: 1, template: '{label}' },
      ],
    };
    let names = 0;
    for (let index = 0; index < 2000; index++) {
      const rng = new CounterRng({ seed: 1, purpose: 'caption', epoch: 0, index });
      if (sampleCaption(record, captionTemplates, rng) === 'apple') names++;
    }
    assert.ok(Math.abs(names - 1500) < 80, String(names));
  });
});

describe('A record without captions of its own', () => {
  it('always gives a synthetic one, if it has any', () => {
    const synthetic = [{ text: 'written', source: 'coca:x' }];
    const bare: DataRecord = { key: 'k', captions: [], synthetic, meta: {} };
    for (let index = 0; index < 20; index++) {
      const rng = new CounterRng({ seed: 1, purpose: 'caption', epoch: 0, index });
      assert.equal(sampleCaption(bare, { ...plainCaptions, synthetic: 0.1 }, rng), 'written');
    }
    assert.deepEqual([hasCaptions(bare), hasCaptions({ ...bare, synthetic: [] })], [true, false]);
  });
});

describe('checkCaptionTemplates', () => {
  it('accepts the plain caption templates', () => {
    checkCaptionTemplates(plainCaptions);
  });

  it('refuses an empty list, a template without weight, and no field', () => {
    for (const templates of [
      [],
      [{ weight: 0, template: '{caption}' }],
      [{ weight: 1, template: 'a cat' }],
    ]) {
      assert.throws(() => {
        checkCaptionTemplates({ templates });
      }, BantamError);
    }
  });
});
