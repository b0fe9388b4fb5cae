import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CounterRng, hashText, philox } from './counter-rng.js';

describe('philox', () => {
  // The known answers that come with the authors' implementation (Random123, philox4x32-10).
  const answers = [
    { counter: [0, 0, 0, 0], key: [0, 0], out: '6627e8d5 e169c58d bc57ac4c 9b00dbd8' },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      out: '408f276d 41c83b0e a20bc7c6 6d5451fd',
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      out: 'd16cfe09 94fdcceb 5001e420 24126ea1',
    },
  ];
  for (const { counter, key, out } of answers) {
    it(`answers ${out}`, () => {
      const block = Uint32Array.from(counter);
      philox(block, key[0] ?? 0, key[1] ?? 0);
      assert.equal(Array.from(block, (word) => word.toString(16).padStart(8, '0')).join(' '), out);
    });
  }
});

describe('hashText', () => {
  it('is FNV-1a of the bytes in UTF-8, as its authors list it', () => {
    assert.equal(hashText(''), 0x811c9dc5);
    assert.equal(hashText('a'), 0xe40c292c);
    assert.equal(hashText('foobar'), 0xbf9cf968);
    assert.equal(hashText('a\u00e9'), 0x79d7a1fc);
  });
});

describe('CounterRng', () => {
  const key = { seed: 1, purpose: 'test', epoch: 2, index: 3 };
  const first = (changes: object): number => new CounterRng({ ...key, ...changes }).bits();

  it('depends on each part of its key, and on nothing else', () => {
    assert.equal(first({}), first({}));
    for (const change of [{ seed: 2 }, { seed: 2 ** 32 + 1 }, { purpose: 'tess' }]) {
      assert.notEqual(first(change), first({}));
    }
    assert.notEqual(first({ epoch: 3 }), first({}));
    assert.notEqual(first({ index: 2 }), first({}));
  });

  it('draws uniform numbers', () => {
    const rng = new CounterRng(key);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 20_000; i++) {
      const drawn = rng.integer(10);
      counts[drawn] = (counts[drawn] ?? 0) + 1;
    }
    for (const count of counts) assert.ok(Math.abs(count - 2000) < 200, counts.join(' '));
  });

  it('draws by weight', () => {
    const rng = new CounterRng(key);
    let heavy = 0;
    for (let i = 0; i < 4000; i++) if (rng.weighted([1, 0, 3]) === 2) heavy++;
    assert.ok(Math.abs(heavy - 3000) < 120, String(heavy));
  });

  it('shuffles into every order equally often', () => {
    const orders = new Map<string, number>();
    for (let index = 0; index < 6000; index++) {
      const order = new CounterRng({ ...key, index }).shuffle(['a', 'b', 'c']).join('');
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    assert.equal(orders.size, 6);
    for (const count of orders.values()) assert.ok(Math.abs(count - 1000) < 130, String(count));
  });
});
