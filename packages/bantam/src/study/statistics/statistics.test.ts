import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { holm, pairedTest, verdictOn } from './comparisons.js';
import { moments, studentInterval, tQuantile, tTwoSided } from './student-t.js';

interface Expected {
  readonly student: readonly { df: number; quantile: number; t: number; p: number }[];
  readonly pairs: readonly { differences: number[]; p: number; interval: [number, number] }[];
  readonly holm: { readonly p: number[]; readonly adjusted: number[] };
}
const file = new URL('../../../fixtures/study/expected.json', import.meta.url);
const expected = JSON.parse(readFileSync(file, 'utf8')) as Expected;

function assertNear(actual: number, wanted: number, relative: number): void {
  assert.ok(Math.abs(actual - wanted) <= relative * Math.abs(wanted), `${actual} is not ${wanted}`);
}

describe("Student's t distribution", () => {
  it("has SciPy's quantiles and p-values, in the far tail as well", () => {
    for (const { df, quantile, t, p } of expected.student) {
      assertNear(tQuantile(0.95, df), quantile, 1e-10);
      assertNear(tTwoSided(t, df), p, 1e-10);
      assert.equal(tTwoSided(-t, df), tTwoSided(t, df));
    }
  });

  it('gives no interval to one value, and one of no width to equal values', () => {
    assert.equal(studentInterval([0.4]), null);
    assert.deepEqual(studentInterval([0.5, 0.5, 0.5]), [0.5, 0.5]);
    assert.deepEqual(moments([1, 2, 3]), { mean: 2, deviation: 1 });
    assert.throws(() => tQuantile(0.95, 0), /more seeds/);
  });
});

describe('pairedTest', () => {
  it("has SciPy's p-values and intervals of paired samples", () => {
    for (const { differences, p, interval } of expected.pairs) {
      const found = pairedTest(differences);
      assertNear(found.pValue ?? NaN, p, 1e-9);
      assert.equal(found.pairs, differences.length);
      found.interval?.forEach((bound, i) => {
        assertNear(bound, interval[i] ?? NaN, 1e-9);
      });
    }
  });

  it('is sure of equal differences, of none that there is none, and of one pair of nothing', () => {
    assert.equal(pairedTest([0.25, 0.25, 0.25]).pValue, 0);
    assert.equal(pairedTest([0, 0, 0]).pValue, 1);
    assert.deepEqual(pairedTest([0.3]), {
      difference: 0.3,
      interval: null,
      pValue: null,
      pairs: 1,
    });
    assert.throws(() => pairedTest([]), /without a common seed/);
  });
});

describe('holm', () => {
  it("adjusts as statsmodels' Holm does, in the order given", () => {
    holm(expected.holm.p).forEach((value, i) => {
      assertNear(value, expected.holm.adjusted[i] ?? NaN, 1e-12);
    });
    assert.deepEqual(holm([]), []);
  });
});

describe('verdictOn', () => {
  it('calls a difference by its direction, and none below certainty', () => {
    const more = { difference: 0.1 };
    assert.equal(verdictOn(more, 0.04, { lowerIsBetter: false }), 'better');
    assert.equal(verdictOn(more, 0.04, { lowerIsBetter: true }), 'worse');
    assert.equal(verdictOn({ difference: -0.1 }, 0.04, { lowerIsBetter: false }), 'worse');
    assert.equal(verdictOn(more, 0.05, { lowerIsBetter: false }), 'not distinguishable');
    assert.equal(verdictOn(more, null, { lowerIsBetter: false }), 'not distinguishable');
  });
});
