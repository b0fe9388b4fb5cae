import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { evaluate } from '../evaluate.js';
import { fromTypedArray, type Tensor } from '@bantam/torch';
import { answersAll, queryHits } from './query-hits.js';
import { formatTable } from '../format-tables.js';
import { tinyModel, writeImages } from '../../test-support/tiny-model.js';

/** Twelve images on a circle, an hour of the clock each. */
const hours = Array.from({ length: 12 }, (_, hour) => (2 * Math.PI * hour) / 12);
const circle = (angles: readonly number[]): Tensor =>
  fromTypedArray(Float32Array.from(angles.flatMap((angle) => [Math.cos(angle), Math.sin(angle)])), {
    shape: [angles.length, 2],
  });
const captions = hours.map((_, hour) => `hour ${hour}`);
/** Just past noon: the order of the hours is 0, 1, 11, 2, 10, 3, 9, 4, … */
const noon = 0.01;

describe('queryHits', () => {
  it('gives hit rates at 1, 5 and 10, their chance levels and the rank of each best answer', () => {
    const queries = [
      { query: 'noon', answers: ['hour 0', 'hour 6'] },
      { query: 'morning', answers: ['hour 9', 'hour 4'] },
      { query: 'evening', answers: ['hour 6'] },
    ];
    const hits = queryHits({
      queries,
      text: circle([noon, noon, noon]),
      image: circle(hours),
      captions,
    });
    assert.deepEqual(
      hits.ranks.map(({ rank }) => rank),
      [1, 7, 12],
    );
    assert.deepEqual(hits.metrics, {
      'hit_rate@1': 1 / 3,
      'hit_rate@5': 1 / 3,
      'hit_rate@10': 2 / 3,
    });
    // Of two answers among twelve images, 5 drawn miss both in C(10, 5) / C(12, 5) = 252 / 792.
    const expected = (2 * (1 - 252 / 792) + 5 / 12) / 3;
    assert.ok(Math.abs((hits.chance['hit_rate@5'] ?? 0) - expected) < 1e-12);
  });

  it('is certain by chance where as many images are drawn as there are', () => {
    const queries = [{ query: 'a', answers: ['a'] }];
    const hits = queryHits({ queries, text: circle([noon]), image: circle([0]), captions: ['a'] });
    assert.equal(hits.chance['hit_rate@10'], 1);
  });

  it('refuses a query that no image answers', () => {
    const queries = [{ query: 'midnight', answers: ['hour 24'] }];
    assert.equal(answersAll(queries, captions), false);
    assert.throws(
      () => queryHits({ queries, text: circle([noon]), image: circle(hours), captions }),
      /None of 12 images answers the query "midnight"/,
    );
  });
});

describe('evaluate with queries', () => {
  it('judges them where every query has an answer, and nowhere else', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bantam-queries-'));
    try {
      await writeImages(folder, { cat: ['red', 'blue'], dog: ['lime', 'gold'] });
      const spec = `folder:${folder}`;
      const cats = { query: 'a pet', answers: ['a photo of a cat.', 'a photo of a dog.'] };
      const results = await evaluate(tinyModel(), [spec], { queries: [cats] });
      const judged = results.find(({ task }) => task === 'queries');
      assert.deepEqual(judged?.ranks, [{ query: 'a pet', rank: 1 }]);
      assert.equal(judged.samples, 4);
      assert.match(formatTable(results), /1 searches in words: a right answer among/);
      const birds = { query: 'a bird', answers: ['a photo of a bird.'] };
      const without = await evaluate(tinyModel(), [spec], { queries: [cats, birds] });
      assert.ok(without.every(({ task }) => task !== 'queries'));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
