import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TextCache } from './text-cache.js';

test('TextCache holds texts up to its bound in bytes, then starts afresh', () => {
  const cache = new TextCache<number[]>(2600);
  const ids = [1, 2];
  for (const text of ['a', 'b', 'c', 'd', 'e']) cache.set(text, ids);
  assert.equal(cache.size, 5);
  assert.equal(cache.get('a'), ids);
  cache.set('f', ids);
  assert.equal(cache.size, 1);
  assert.equal(cache.get('a'), undefined);
  assert.equal(cache.get('f'), ids);
});

test('TextCache leaves out a text that is larger than the bound', () => {
  const cache = new TextCache<number[]>(1400);
  cache.set('x'.repeat(500), [1]);
  assert.equal(cache.size, 0);
});
