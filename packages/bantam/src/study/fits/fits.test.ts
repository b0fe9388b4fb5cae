import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { at } from '../../base/at.js';
import { bootstrapFit, fitLaw } from './fit.js';
import {
  effectiveSamples,
  powerLaw,
  repeatsLaw,
  utilityLaw,
  type FitPoint,
  type RepeatedPoint,
} from './laws.js';
import { leastSquares } from './least-squares.js';
import { monotoneCurve, nonIncreasing } from './monotone.js';

interface Expected {
  readonly fit: {
    x: number[];
    error: number[];
    delta: number;
    huber: { cost: number; predicted: number[]; beyond: number };
    squares: { cost: number; predicted: number[] };
  };
  readonly curve: {
    x: number[];
    y: number[];
    pooled: number[];
    at: number[];
    values: number[];
  };
}
const file = new URL('../../../fixtures/study/expected.json', import.meta.url);
const { fit, curve } = JSON.parse(readFileSync(file, 'utf8')) as Expected;

function assertNear(actual: number, wanted: number, relative: number): void {
  assert.ok(Math.abs(actual - wanted) <= relative * Math.abs(wanted), `${actual} is not ${wanted}`);
}

const points = fit.x.map((x, i): FitPoint<number> => ({ x, error: at(fit.error, i) }));
const law = powerLaw(3e4);

describe('leastSquares', () => {
  it("finds Rosenbrock's minimum from afar", () => {
    const { parameters, cost, isConverged } = leastSquares({
      starts: [[-1.2, 1]],
      residuals: ([x = 0, y = 0]) => [10 * (y - x * x), 1 - x],
    });
    assert.ok(isConverged && cost < 1e-20);
    parameters.forEach((value) => {
      assertNear(value, 1, 1e-8);
    });
  });

  it('takes the best of its starts, and is not held by one without a value', () => {
    const { parameters } = leastSquares({
      starts: [[NaN], [3], [-1]],
      residuals: ([x = 0]) => [(x - 2) * (x + 1), x < 0 ? 0.1 : 0],
    });
    assertNear(at(parameters, 0), 2, 1e-8);
  });
});

describe('fitLaw', () => {
  it("has the minimum of SciPy's least_squares with Huber's loss, and predicts beyond the data as it does", () => {
    const found = fitLaw(law, points, { delta: fit.delta });
    assert.ok(found.isConverged);
    const cost = found.residuals.reduce((sum, r) => {
      const size = Math.abs(r);
      return sum + (size <= fit.delta ? 0.5 * r * r : fit.delta * (size - 0.5 * fit.delta));
    }, 0);
    assertNear(cost, fit.huber.cost, 1e-7);
    points.forEach(({ x }, i) => {
      assertNear(law.predict(found.inner, x), at(fit.huber.predicted, i), 2e-5);
    });
    assertNear(law.predict(found.inner, 1e7), fit.huber.beyond, 1e-3);
  });

  it("has the minimum of SciPy's curve_fit with squares", () => {
    const found = fitLaw(law, points, { delta: Infinity });
    const cost = found.residuals.reduce((sum, r) => sum + 0.5 * r * r, 0);
    assertNear(cost, fit.squares.cost, 1e-7);
    points.forEach(({ x }, i) => {
      assertNear(law.predict(found.inner, x), at(fit.squares.predicted, i), 2e-5);
    });
  });

  it('finds the parameters that made the points, of every law', () => {
    const repeated = [1e3, 4e3, 16e3].flatMap((unique) =>
      [1, 2, 4, 8, 32].map((passes) => ({ unique, samples: unique * passes })),
    );
    for (const [own, inner] of [
      [repeatsLaw(1e4), [-0.7, -1, -0.9, -2, 1.6]],
      [utilityLaw(1e4), [-0.7, -1.2, -2, 1.1]],
    ] as const) {
      const made = repeated.map((x) => ({ x, error: own.predict(inner, x) }));
      const { parameters } = fitLaw(own, made);
      own.natural(inner).forEach((value, i) => {
        assertNear(parameters[at(own.parameters, i)] ?? NaN, value, 1e-3);
      });
    }
  });

  it('refuses too few points and errors without a logarithm', () => {
    assert.throws(() => fitLaw(law, points.slice(0, 3)), /has 4 parameters .* there are 3\./);
    const zero = [...points, { x: 10, error: 0 }];
    assert.throws(() => fitLaw(law, zero), /An error of 0 has no logarithm/);
  });
});

describe('bootstrapFit', () => {
  it('holds the truth in its intervals, is wider beyond the data, and repeats itself', () => {
    const clean = points.filter((_, i) => i !== 3 && i !== 12);
    const found = bootstrapFit(law, clean, { resamples: 100 });
    const [low, high] = found.intervals.d ?? assert.fail('no interval');
    assert.ok(low < 0.12 && 0.12 < high, `${low} to ${high}`);
    const width = (x: number): number => {
      const { error, band } = found.predict(x);
      assert.ok(band[0] < error && error < band[1]);
      return (band[1] - band[0]) / error;
    };
    assert.ok(width(1e8) > 1.5 * width(1e5));
    const again = bootstrapFit(law, clean, { resamples: 100 });
    assert.deepEqual(again.predict(1e7), found.predict(1e7));
    assert.notDeepEqual(bootstrapFit(law, clean, { resamples: 100, seed: 1 }).predict(1e7), found.predict(1e7)); // prettier-ignore
  });
});

describe('the law of repeats on the grid of Scaling (Down) CLIP', () => {
  const grids = new URL('../../../fixtures/study/published-grids.json', import.meta.url);
  const { scalingDown } = JSON.parse(readFileSync(grids, 'utf8')) as {
    scalingDown: { epochs: number[]; quantity: Record<string, number[]> };
  };
  const all = Object.entries(scalingDown.quantity).flatMap(([size, errors]) =>
    scalingDown.epochs.map((epochs, i): FitPoint<RepeatedPoint> => {
      const unique = Number(size);
      return { x: { unique, samples: unique * epochs }, error: at(errors, i) / 100 };
    }),
  );

  it('predicts 200M and 400M pairs from at most 100M to about a point, within its bands', () => {
    const small = all.filter(({ x }) => x.unique <= 1e8);
    const large = all.filter(({ x }) => x.unique > 1e8);
    const found = bootstrapFit(repeatsLaw(2e8), small);
    const squares = large.map(({ x, error }) => (100 * (found.predict(x).error - error)) ** 2);
    const rms = Math.sqrt(squares.reduce((sum, value) => sum + value, 0) / large.length);
    assert.ok(rms < 1.5, String(rms));
    const held = large.filter(({ x, error }) => {
      const [low, high] = found.predict(x).band;
      return low <= error && error <= high;
    });
    assert.ok(held.length >= 7, `${held.length} of ${large.length} bands held`);
  });
});

describe('effectiveSamples', () => {
  it('counts a first pass whole, few repeats nearly so, and never more than U + U·R*', () => {
    assert.equal(effectiveSamples({ unique: 100, samples: 60 }, 15), 60);
    assert.equal(effectiveSamples({ unique: 100, samples: 100 }, 15), 100);
    assertNear(effectiveSamples({ unique: 100, samples: 200 }, 15), 196.8, 1e-3);
    assertNear(effectiveSamples({ unique: 100, samples: 1e9 }, 15), 1600, 1e-9);
    // datablations' check: 25e9 unique and 242e9 seen tokens at R* = 15.387756.
    const seen = effectiveSamples({ unique: 25e9, samples: 242e9 }, 15.387756);
    assertNear(seen, 25e9 * (1 + 15.387756 * (1 - Math.exp(-8.68 / 15.387756))), 1e-9);
  });
});

describe('monotoneCurve', () => {
  it("is SciPy's pchip through scikit-learn's isotonic means", () => {
    nonIncreasing(curve.y).forEach((value, i) => {
      assertNear(value, at(curve.pooled, i), 1e-12);
    });
    const found = monotoneCurve(curve.x.map((x, i) => ({ x, y: at(curve.y, i) })));
    curve.at.forEach((x, i) => {
      assertNear(found.at(x), at(curve.values, i), 1e-9);
    });
  });

  it('never rises, keeps its ends beyond the data, and says where these end', () => {
    const found = monotoneCurve([
      { x: 10, y: 0.9 },
      { x: 10, y: 0.7 },
      { x: 1000, y: 0.5 },
    ]);
    assertNear(found.at(100), 0.65, 1e-12);
    assert.deepEqual([found.at(1), found.at(1e6)], [0.8, 0.5]);
    assert.deepEqual([1, 10, 1000, 1001].map(found.isInside), [false, true, true, false]);
    assert.throws(() => monotoneCurve([]), /needs a point/);
  });
});
