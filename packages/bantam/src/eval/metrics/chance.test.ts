import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { retrievalChance } from './chance.js';

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-12, `${actual} is not ${expected}`);
}

/** Every order of `items` things, as the place of each. */
function permutations(items: number): number[][] {
  if (items === 0) return [[]];
  return permutations(items - 1).flatMap((rest) =>
    Array.from({ length: items }, (_, place) => [
      ...rest.map((other) => (other < place ? other : other + 1)),
      place,
    ]),
  );
}

describe('retrievalChance', () => {
  it('is k/items with one right item', () => {
    const chance = retrievalChance(40, [1, 1, 1]);
    for (const k of [1, 5, 10, 40]) near(chance.recall(k), k / 40);
    assert.equal(chance.medianRank, 20);
  });

  it('equals the mean over all orders of a small gallery', () => {
    const positives = [1, 2, 2, 4, 6];
    const chance = retrievalChance(6, positives);
    const orders = permutations(6);
    assert.equal(orders.length, 720);
    const meanOf = (value: (place: number) => number): number => {
      const total = positives.map((right) =>
        orders.reduce((sum, order) => sum + value(Math.min(...order.slice(0, right)) + 1), 0),
      );
      return total.reduce((sum, part) => sum + part) / orders.length / positives.length;
    };
    for (const k of [1, 2, 3, 4, 5, 6])
      near(
        chance.recall(k),
        meanOf((place) => +(place <= k)),
      );
    near(
      chance.meanReciprocalRank,
      meanOf((place) => 1 / place),
    );
    assert.equal(chance.medianRank, 1);
  });

  it('is certain where the cutoff leaves no room for a miss', () => {
    const chance = retrievalChance(10, [3]);
    assert.equal(chance.recall(8), 1);
    assert.equal(chance.recall(20), 1);
    assert.ok(chance.recall(7) < 1);
  });
});
