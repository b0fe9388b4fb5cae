import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Generator, rand, scope } from '@bantam/torch';
import { assign } from './assignment.js';

/** n × n costs; with `values`, whole numbers below it, so that many are equal. */
function draw(seed: number, n: number, values?: number): Float64Array {
  return scope(() => {
    const uniform = rand([n * n], new Generator({ seed }), { dtype: 'float64' }).toArray();
    return Float64Array.from(uniform, (x) => (values === undefined ? x - 0.5 : Math.floor(values * x))); // prettier-ignore
  });
}

function total(cost: Float64Array, columns: Iterable<number>): number {
  const n = Math.sqrt(cost.length);
  return [...columns].reduce((sum, column, row) => sum + (cost[row * n + column] ?? NaN), 0);
}

/** The least total over all n! assignments. */
function bruteForce(cost: Float64Array, n: number): number {
  const from = (taken: readonly number[]): number => {
    if (taken.length === n) return total(cost, taken);
    const free = Array.from({ length: n }, (_, j) => j).filter((j) => !taken.includes(j));
    return Math.min(...free.map((j) => from([...taken, j])));
  };
  return from([]);
}

function assertOneToOne(columns: Int32Array, n: number): void {
  assert.deepEqual(
    columns.toSorted(),
    Int32Array.from({ length: n }, (_, j) => j),
  );
}

describe('assign', () => {
  it('finds the least total of all assignments', () => {
    for (let n = 0; n <= 7; n++) {
      for (const [seed, values] of [[1], [2], [3, 2], [4, 3], [5, 5], [6, 10]] as const) {
        const cost = draw(10 * n + seed, n, values);
        const columns = assign(cost, n);
        assertOneToOne(columns, n);
        const least = bruteForce(cost, n);
        assert.ok(Math.abs(total(cost, columns) - least) < 1e-12, `n ${n}, seed ${seed}`);
      }
    }
  });

  it('has no cheaper exchange of two or three rows among many', () => {
    const n = 60;
    for (const values of [undefined, 7]) {
      const cost = draw(9, n, values);
      const columns = assign(cost, n);
      assertOneToOne(columns, n);
      const at = (row: number, column: number) => cost[row * n + (columns[column] ?? 0)] ?? NaN;
      for (let a = 0; a < n; a++) {
        for (let b = 0; b < n; b++) {
          for (let c = 0; c < n; c++) {
            if (a === b || b === c || a === c) continue;
            const [now, then] = [at(a, a) + at(b, b) + at(c, c), at(a, b) + at(b, c) + at(c, a)];
            assert.ok(now <= then + 1e-12, `${a}, ${b}, ${c}`);
          }
          assert.ok(at(a, a) + at(b, b) <= at(a, b) + at(b, a) + 1e-12, `${a}, ${b}`);
        }
      }
    }
  });

  it('gives the same for the same costs, equal ones too', () => {
    const cost = draw(3, 20, 2);
    assert.deepEqual(assign(cost, 20), assign(cost, 20));
    assert.deepEqual(assign(new Float64Array(9), 3), assign(new Float64Array(9), 3));
  });

  it('refuses a matrix of another size', () => {
    assert.throws(() => assign(new Float64Array(5), 2), /takes 4 costs, not 5/);
  });
});
