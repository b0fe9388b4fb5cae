import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { naturalQueries } from './natural-queries.js';

describe('the natural queries', () => {
  it('are thirty different ones, each with answers that are named once', () => {
    const texts = new Set(naturalQueries.map(({ query }) => query.toLowerCase()));
    assert.equal(texts.size, 30);
    for (const { query, answers } of naturalQueries) {
      assert.ok(answers.length > 0, query);
      assert.equal(new Set(answers).size, answers.length, query);
    }
  });

  it('are not the names of their own answers, but for the cake', () => {
    const named = naturalQueries.filter(({ query, answers }) => answers.includes(query));
    assert.deepEqual(
      named.map(({ query }) => query),
      ['birthday cake'],
    );
  });
});
