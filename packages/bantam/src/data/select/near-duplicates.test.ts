import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CounterRng } from '../counter-rng.js';
import { bestOfGroups, groupByHash, groupByLeader } from './near-duplicates.js';

function flipped(hash: string, bits: readonly number[]): string {
  let value = BigInt(`0x${hash}`);
  for (const bit of bits) value ^= 1n << BigInt(bit);
  return value.toString(16).padStart(16, '0');
}

function apart(a: string, b: string): number {
  return (BigInt(`0x${a}`) ^ BigInt(`0x${b}`)).toString(2).replaceAll('0', '').length;
}

describe('groupByHash', () => {
  it('joins a record to the nearest leader within the distance', () => {
    const base = '0123456789abcdef';
    const near = flipped(base, [3, 60]);
    const far = flipped(base, [1, 2, 3, 4, 5, 6, 7, 8]);
    const other = 'ffffffff00000000';
    const hashes = [base, other, near, far, undefined, base];
    assert.deepEqual([...groupByHash(hashes, { distance: 4 })], [0, 1, 0, 3, 4, 0]);
    assert.deepEqual([...groupByHash(hashes, { distance: 8 })], [0, 1, 0, 0, 4, 0]);
    assert.deepEqual([...groupByHash(hashes, { distance: 0 })], [0, 1, 2, 3, 4, 0]);
  });

  for (const distance of [3, 6, 10, 13]) {
    it(`finds what comparing all pairs finds, at distance ${distance}`, () => {
      const rng = new CounterRng({ seed: distance, purpose: 'hashes', epoch: 0 });
      const seeds = Array.from({ length: 12 }, () =>
        [rng.bits(), rng.bits()].map((bits) => bits.toString(16).padStart(8, '0')).join(''),
      );
      const hashes = Array.from({ length: 300 }, () => {
        const bits = Array.from({ length: rng.integer(distance + 4) }, () => rng.integer(64));
        return flipped(seeds[rng.integer(seeds.length)] ?? '', bits);
      });
      const leaders: number[] = [];
      const expected = hashes.map((hash, i) => {
        const ranked = leaders
          .map((leader) => ({ leader, bits: apart(hash, hashes[leader] ?? '') }))
          .filter(({ bits }) => bits <= distance)
          .sort((a, b) => a.bits - b.bits || a.leader - b.leader);
        const [best] = ranked;
        if (best !== undefined) return best.leader;
        leaders.push(i);
        return i;
      });
      assert.deepEqual([...groupByHash(hashes, { distance })], expected);
    });
  }

  it('refuses a distance beyond its index and hashes of another form', () => {
    assert.throws(() => groupByHash([], { distance: 16 }), /from 0 to 15 of their 64 bits/);
    assert.throws(() => groupByHash(['xyz'], { distance: 1 }), /"xyz" is no hash/);
  });
});

describe('groupByLeader', () => {
  it('groups records under the one they duplicate, also when that one is gone', () => {
    const groups = groupByLeader(['b', 'c', 'd', 'e'], ['a', 'a', undefined, 'd']);
    assert.deepEqual([...groups], [0, 0, 2, 2]);
  });
});

describe('bestOfGroups', () => {
  const leaders = Int32Array.of(0, 0, 2, 0, 2);
  const keys = ['e', 'd', 'c', 'b', 'a'];

  it('keeps the first of each group without scores', () => {
    assert.deepEqual([...bestOfGroups(leaders, { keys })], [1, 0, 1, 0, 0]);
  });

  it('keeps the highest score, of equals the smallest key, scored before unscored', () => {
    const scores = Float64Array.of(1, 2, NaN, 2, 0);
    assert.deepEqual([...bestOfGroups(leaders, { keys, scores })], [0, 0, 0, 1, 1]);
  });
});
