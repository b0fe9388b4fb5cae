import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CounterRng } from '../counter-rng.js';
import { scoreAgreement, rocAuc } from './agreement.js';
import { uniformOfKey } from './key-hash.js';
import { agreedScore, dataCompThreshold, percentileRanks, topFraction } from './ranking.js';

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `k${i}`);
const chosen = (mask: Uint8Array): number[] => [...mask.keys()].filter((i) => mask[i] === 1);

describe('topFraction', () => {
  it('keeps exactly the fraction of the whole, in whatever order the records come', () => {
    const scores = Float64Array.of(0.1, 0.9, 0.5, 0.7, 0.3);
    const keys = names(5);
    assert.deepEqual(chosen(topFraction(scores, { keys, fraction: 0.4 })), [1, 3]);
    assert.deepEqual(chosen(topFraction(scores, { keys, fraction: 1 })), [0, 1, 2, 3, 4]);
    assert.deepEqual(chosen(topFraction(scores, { keys, fraction: 0 })), []);
  });

  it('breaks ties at the cut by key', () => {
    const scores = Float64Array.of(1, 0.5, 0.5, 0.5, 0);
    const keys = ['e', 'd', 'b', 'c', 'a'];
    assert.deepEqual(chosen(topFraction(scores, { keys, fraction: 0.4 })), [0, 2]);
    assert.deepEqual(chosen(topFraction(scores, { keys, fraction: 0.6 })), [0, 2, 3]);
  });

  it('counts only records that have a score', () => {
    const scores = Float64Array.of(NaN, 3, NaN, 1, 2, 4);
    assert.deepEqual(chosen(topFraction(scores, { keys: names(6), fraction: 0.5 })), [1, 5]);
  });

  it('nests: each fraction is a part of the larger ones', () => {
    const rng = new CounterRng({ seed: 3, purpose: 'test', epoch: 0 });
    const scores = Float64Array.from({ length: 997 }, () => rng.integer(40));
    const keys = names(997);
    let before = new Set<number>();
    for (const fraction of [0.1, 0.2, 0.29, 0.5, 0.83]) {
      const now = new Set(chosen(topFraction(scores, { keys, fraction })));
      assert.equal(now.size, Math.round(fraction * 997));
      assert.ok([...before].every((index) => now.has(index)));
      before = now;
    }
  });

  it("keeps all ties at DataComp's threshold with ties: keep", () => {
    // numpy: t = -np.sort(-s)[int(len(s) * f)]; s >= t, for s = [.3, .1, .3, .2, .3, .4] and f = .2, .5, .7
    const scores = Float64Array.of(0.3, 0.1, 0.3, 0.2, 0.3, 0.4);
    const kept = (fraction: number): number[] =>
      chosen(topFraction(scores, { keys: names(6), fraction, ties: 'keep' }));
    assert.deepEqual(kept(0.2), [0, 2, 4, 5]);
    assert.deepEqual(kept(0.5), [0, 2, 4, 5]);
    assert.deepEqual(kept(0.7), [0, 2, 3, 4, 5]);
    assert.deepEqual(kept(1), [0, 1, 2, 3, 4, 5]);
    const ascending = scores.toSorted();
    assert.equal(dataCompThreshold(ascending, 0), 0.4);
    assert.equal(dataCompThreshold(ascending, 0.99), 0.1);
  });
});

describe('uniformOfKey', () => {
  it('is the first 53 bits of the SHA-256 of seed, purpose and key', () => {
    // Python: (int(hashlib.sha256(b'7\0random subset\0a/b.jpg').hexdigest()[:16], 16) >> 11) / 2**53
    const value = uniformOfKey('a/b.jpg', { seed: 7, purpose: 'random subset' });
    assert.equal(value, 0.964454624809522);
  });

  it('is uniform', () => {
    const values = names(20_000).map((key) => uniformOfKey(key, { seed: 1, purpose: 'test' }));
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    assert.ok(Math.abs(mean - 0.5) < 0.01, `${mean}`);
    assert.ok(values.every((value) => value >= 0 && value < 1));
  });
});

describe('percentileRanks and agreedScore', () => {
  it('rank from 0 to 1, ties in the middle of their ranks, NaN as NaN', () => {
    assert.deepEqual(
      [...percentileRanks(Float64Array.of(5, 1, 1, 9, NaN))],
      [2 / 3, 0.5 / 3, 0.5 / 3, 1, NaN],
    );
  });

  it('count the lowest rank of several scores', () => {
    const a = Float64Array.of(1, 2, 3);
    const b = Float64Array.of(30, 10, 20);
    assert.deepEqual([...agreedScore([a, b])], [0, 0, 0.5]);
    assert.equal(agreedScore([a]), a);
  });
});

describe('scoreAgreement and rocAuc', () => {
  it('give 1 for a score and a monotone function of it, −1 for its negative', () => {
    const a = Float64Array.of(1, 2, 3, 4, 5);
    const keys = names(5);
    assert.ok(Math.abs(scoreAgreement(a, a.map(Math.exp), { keys }).correlation - 1) < 1e-12);
    const opposite = scoreAgreement(
      a,
      a.map((value) => -value),
      { keys, fractions: [0.4, 0.6] },
    );
    assert.ok(Math.abs(opposite.correlation + 1) < 1e-12);
    assert.deepEqual(opposite.overlaps, [
      { fraction: 0.4, overlap: 0 },
      { fraction: 0.6, overlap: 1 / 5 },
    ]);
  });

  it('count ordered pairs of a good and a bad record, ties half', () => {
    const scores = Float64Array.of(0.9, 0.8, 0.8, 0.3, NaN);
    // Pairs good > bad: 0.9 over 0.8 and 0.3, 0.8 ties 0.8 and is over 0.3: 3.5 of 4.
    assert.equal(rocAuc(scores, [true, true, false, false, true]), 3.5 / 4);
  });
});
