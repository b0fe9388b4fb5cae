import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TokenTrie } from './token-trie.js';
import { PriorityQueue } from './priority-queue.js';

describe('TokenTrie', () => {
  it('finds the tokens that a text starts with', () => {
    const tokens = ['a', 'abc', '😀', '😀😀', 'ab\uffff', 'b'];
    const trie = new TokenTrie(tokens);
    const found = (text: string): string[] => {
      const own: string[] = [];
      let node = 0;
      for (let i = 0; i < text.length; i++) {
        node = trie.step(node, text.charCodeAt(i));
        if (node === 0) break;
        const value = trie.value(node);
        if (value >= 0) own.push(tokens[value] ?? assert.fail());
      }
      return own;
    };
    assert.deepEqual(found('abcd'), ['a', 'abc']);
    assert.deepEqual(found('ab\uffff'), ['a', 'ab\uffff']);
    assert.deepEqual(found('😀😀😀'), ['😀', '😀😀']);
    assert.deepEqual(found('xa'), []);
    assert.equal(trie.longest('xabcd', 1), 3);
    assert.equal(trie.longest('xabcd', 0), 0);
  });
});

describe('PriorityQueue', () => {
  it('gives items in order, whatever order they came in', () => {
    const queue = new PriorityQueue<number>((a, b) => a > b);
    const given = Array.from({ length: 500 }, (_, i) => (i * 7919) % 503);
    for (const item of given) queue.push(item);
    const taken = given.map(() => queue.pop());
    assert.deepEqual(
      taken,
      given.toSorted((a, b) => b - a),
    );
    assert.equal(queue.pop(), undefined);
  });
});
