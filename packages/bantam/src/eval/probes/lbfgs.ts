import { at } from '../../base/at.js';

/** Value of a function and its gradient at a point. */
export interface Evaluation {
  readonly value: number;
  readonly gradient: Float64Array;
}

export interface MinimizeOptions {
  readonly start: Float64Array;
  readonly evaluate: (point: Float64Array) => Evaluation;
  /** Steps kept for the approximation of the Hessian. 10 by default. */
  readonly memory?: number;
  /** 1000 by default. */
  readonly maxIterations?: number;
  /** Ends where no component of the gradient is above this. */
  readonly tolerance: (value: number) => number;
}

/** A point that {@link minimize} ended at. */
export interface Minimum extends Evaluation {
  readonly point: Float64Array;
  readonly iterations: number;
  /** False if it ended at the limit of iterations. */
  readonly converged: boolean;
}

/** A step of the line search: its length, the point, and the slope along the direction there. */
interface Trial extends Evaluation {
  readonly length: number;
  readonly point: Float64Array;
  readonly slope: number;
}

/**
 * Minimises a smooth function by limited-memory BFGS with a line search for the strong Wolfe
 * conditions, c₁ = 1e-4 and c₂ = 0.9 (Nocedal and Wright 2006, algorithms 7.4, 7.5, 3.5 and 3.6).
 * Deterministic, without a learning rate.
 */
export function minimize({
  start,
  evaluate,
  memory = 10,
  maxIterations = 1000,
  tolerance,
}: MinimizeOptions): Minimum {
  let point = start;
  let { value, gradient } = evaluate(point);
  const pairs: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  for (let iterations = 0; ; iterations++) {
    const converged = largest(gradient) <= tolerance(value);
    if (converged || iterations === maxIterations) {
      return { point, value, gradient, iterations, converged };
    }
    const direction = twoLoop(gradient, pairs);
    const first = pairs.length === 0 ? Math.min(1, 1 / sumOfMagnitudes(gradient)) : 1;
    const from: Trial = { length: 0, point, value, gradient, slope: dot(gradient, direction) };
    const next = lineSearch(evaluate, from, { direction, first });
    // Rounding leaves nothing to gain along the direction.
    if (next === null) return { point, value, gradient, iterations, converged: true };
    const s = difference(next.point, point);
    const y = difference(next.gradient, gradient);
    const curvature = dot(s, y);
    if (curvature > 1e-300) {
      pairs.push({ s, y, rho: 1 / curvature });
      if (pairs.length > memory) pairs.shift();
    }
    ({ point, value, gradient } = next);
  }
}

/** −H·g, with H the inverse Hessian that the last steps give (algorithm 7.4). */
function twoLoop(
  gradient: Float64Array,
  pairs: readonly { s: Float64Array; y: Float64Array; rho: number }[],
): Float64Array {
  const q = gradient.map((g) => -g);
  const alphas: number[] = [];
  for (const { s, y, rho } of pairs.toReversed()) {
    const alpha = rho * dot(s, q);
    alphas.push(alpha);
    addScaled(q, y, -alpha);
  }
  const last = pairs.at(-1);
  if (last !== undefined) {
    const scale = 1 / (last.rho * dot(last.y, last.y));
    for (let i = 0; i < q.length; i++) q[i] = at(q, i) * scale;
  }
  pairs.forEach(({ s, y, rho }, i) => {
    addScaled(q, s, at(alphas, pairs.length - 1 - i) - rho * dot(y, q));
  });
  return q;
}

const sufficientDecrease = 1e-4;
const curvatureFraction = 0.9;
const mostTrials = 25;

/** Algorithm 3.5; null if no point is lower. */
function lineSearch(
  evaluate: (point: Float64Array) => Evaluation,
  from: Trial,
  { direction, first }: { direction: Float64Array; first: number },
): Trial | null {
  const tryAt = (length: number): Trial => {
    const point = from.point.slice();
    addScaled(point, direction, length);
    const found = evaluate(point);
    return { ...found, length, point, slope: dot(found.gradient, direction) };
  };
  const descends = ({ value, length }: Trial): boolean =>
    value <= from.value + sufficientDecrease * length * from.slope;
  const flat = ({ slope }: Trial): boolean => Math.abs(slope) <= -curvatureFraction * from.slope;
  const best = (low: Trial): Trial | null => (low.value < from.value ? low : null);

  const zoom = (start: Trial, end: Trial): Trial | null => {
    let [low, high] = [start, end];
    for (let trial = 0; trial < mostTrials; trial++) {
      const next = tryAt(between(low, high));
      if (!descends(next) || next.value >= low.value) high = next;
      else {
        if (flat(next)) return next;
        if (next.slope * (high.length - low.length) >= 0) high = low;
        low = next;
      }
    }
    return best(low);
  };

  if (!(from.slope < 0)) return null;
  let before = from;
  let length = first;
  for (let trial = 0; trial < mostTrials; trial++) {
    const next = tryAt(length);
    if (!descends(next) || (trial > 0 && next.value >= before.value)) return zoom(before, next);
    if (flat(next)) return next;
    if (next.slope >= 0) return zoom(next, before);
    before = next;
    length *= 2;
  }
  return best(before);
}

/** Minimum of the cubic through two trials, or their middle where that is too near to one of them. */
function between(a: Trial, b: Trial): number {
  const middle = (a.length + b.length) / 2;
  const d1 = a.slope + b.slope - (3 * (a.value - b.value)) / (a.length - b.length);
  const d2 = Math.sign(b.length - a.length) * Math.sqrt(d1 ** 2 - a.slope * b.slope);
  const cubic =
    b.length - ((b.length - a.length) * (b.slope + d2 - d1)) / (b.slope - a.slope + 2 * d2);
  const margin = 0.1 * Math.abs(b.length - a.length);
  const low = Math.min(a.length, b.length) + margin;
  const high = Math.max(a.length, b.length) - margin;
  return cubic >= low && cubic <= high ? cubic : middle;
}

function dot(a: Float64Array, b: Float64Array): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += (a[i] ?? NaN) * (b[i] ?? NaN);
  return total;
}

/** x ← x + factor·y */
function addScaled(x: Float64Array, y: Float64Array, factor: number): void {
  for (let i = 0; i < x.length; i++) x[i] = (x[i] ?? NaN) + factor * (y[i] ?? NaN);
}

function difference(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value - (b[i] ?? NaN));
}

function largest(x: Float64Array): number {
  let most = 0;
  for (const value of x) {
    if (!(Math.abs(value) <= most)) most = Math.abs(value);
  }
  return most;
}

function sumOfMagnitudes(x: Float64Array): number {
  return x.reduce((sum, value) => sum + Math.abs(value), 0);
}
