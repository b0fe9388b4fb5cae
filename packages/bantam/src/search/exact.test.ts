import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromTypedArray } from '@bantam/torch';
import { bruteForce, clusteredVectors, rowOf } from '../test-support/vectors.js';
import { ExactSearch } from './exact.js';

// More than two chunks of rows.
const [rows, width] = [70_000, 8];
const values = clusteredVectors(rows, width);
const queries = clusteredVectors(5, width, 1);
const images = fromTypedArray(values, { shape: [rows, width] });
const queryTensor = fromTypedArray(queries, { shape: [5, width] });
const rowsOf = (found: readonly { row: number }[]): number[] => found.map(({ row }) => row);

describe('ExactSearch', () => {
  for (const precision of ['fp32', 'bf16', 'int8'] as const) {
    it(`finds in ${precision} what plain loops find, with their scores`, async () => {
      using search = new ExactSearch(images, precision);
      const found = await search.nearest(queryTensor, { k: 10 });
      for (const [query, candidates] of found.entries()) {
        const wanted = bruteForce(values, rowOf(queries, query, width), 10);
        assert.deepEqual(rowsOf(candidates), rowsOf(wanted));
        for (const [place, { score }] of candidates.entries()) {
          assert.ok(Math.abs(score - (wanted[place]?.score ?? NaN)) < 1e-6);
        }
      }
    });
  }

  it('compares only with given rows, and with none that is removed', async () => {
    const some = Int32Array.from({ length: 40_000 }, (_, i) => Math.floor(i * 1.75));
    using whole = new ExactSearch(images);
    const [among = []] = await whole.nearest(queryTensor, { k: 5, rows: some });
    const chosen = new Set(some);
    const query = rowOf(queries, 0, width);
    assert.deepEqual(rowsOf(among), rowsOf(bruteForce(values, query, 5, (row) => chosen.has(row))));
    using odd = new ExactSearch(images, 'int8', (row) => row % 2 === 0);
    const [left = []] = await odd.nearest(queryTensor, { k: 5 });
    assert.deepEqual(rowsOf(left), rowsOf(bruteForce(values, query, 5, (row) => row % 2 === 1)));
  });

  it('gives the first rows of those with equal scores, and all rows if there are fewer than k', async () => {
    const equal = new Float32Array(50_000 * 2).fill(Math.SQRT1_2);
    const twins = fromTypedArray(equal, { shape: [50_000, 2] });
    const query = fromTypedArray(Float32Array.of(1, 0), { shape: [1, 2] });
    using search = new ExactSearch(twins);
    const [found = []] = await search.nearest(query, { k: 3 });
    assert.deepEqual(rowsOf(found), [0, 1, 2]);
    using small = new ExactSearch(fromTypedArray(equal.slice(0, 4), { shape: [2, 2] }));
    const [all = []] = await small.nearest(query, { k: 9 });
    assert.deepEqual(rowsOf(all), [0, 1]);
  });
});
