/** Nonlinear least squares with Huber's loss: Levenberg and Marquardt's method. */
import { at } from '../../base/at.js';

/** Residuals that are to be made small. */
export interface LeastSquaresProblem {
  /** Residuals at parameters, always as many. */
  readonly residuals: (parameters: readonly number[]) => number[];
  /** Starts of the search, of which the best result is taken. */
  readonly starts: readonly (readonly number[])[];
  /**
   * δ of Huber's loss: residuals beyond it count linearly, so that outliers pull less. Default
   * Infinity: squares.
   */
  readonly delta?: number;
  /** Most steps from each start. Default 200. */
  readonly maxSteps?: number;
}

/** A minimum. */
export interface LeastSquaresFit {
  readonly parameters: readonly number[];
  readonly residuals: readonly number[];
  /** ½ Σ δ²·ρ((r/δ)²), as SciPy's `least_squares` has it. */
  readonly cost: number;
  readonly isConverged: boolean;
}

/** ½ δ² Σ ρ((r/δ)²) with ρ(z) = z up to 1 and 2√z − 1 beyond (Huber 1964). */
function costOf(residuals: readonly number[], delta: number): number {
  let sum = 0;
  for (const r of residuals) {
    const size = Math.abs(r);
    sum += size <= delta ? 0.5 * r * r : delta * (size - 0.5 * delta);
  }
  return sum;
}

/**
 * Minimises ½ Σ δ²·ρ((r/δ)²) over the parameters by damped Gauss-Newton steps (Marquardt 1963, the
 * damping by Nielsen 1999): (JᵀWJ + λ·diag(JᵀWJ))·step = −JᵀWr with weights w = min(1, δ/|r|), J by
 * central differences.
 */
export function leastSquares(problem: LeastSquaresProblem): LeastSquaresFit {
  const fits = problem.starts.map((start) => fromStart(start, problem));
  return fits.reduce((best, fit) => (isLess(fit.cost, best.cost) ? fit : best));
}

/** Comparison in which NaN is the greatest. */
function isLess(a: number, b: number): boolean {
  return Number.isNaN(b) ? !Number.isNaN(a) : a < b;
}

function fromStart(
  start: readonly number[],
  { residuals: residualsAt, delta = Infinity, maxSteps = 200 }: LeastSquaresProblem,
): LeastSquaresFit {
  let parameters = [...start];
  let residuals = residualsAt(parameters);
  let cost = costOf(residuals, delta);
  let damping = 1e-3;
  let growth = 2;
  let isConverged = false;
  for (let step = 0; step < maxSteps && !isConverged; step++) {
    const { matrix, gradient } = normalEquations(parameters, residuals, { residualsAt, delta });
    if (Math.max(...gradient.map(Math.abs)) < 1e-14) {
      isConverged = true;
      break;
    }
    for (;;) {
      const change = solveDamped(matrix, gradient, damping);
      const next = parameters.map((value, i) => value - at(change, i));
      const nextResiduals = residualsAt(next);
      const nextCost = costOf(nextResiduals, delta);
      if (isLess(nextCost, cost)) {
        const gain = cost - nextCost;
        isConverged = gain <= 1e-14 * cost && isSmall(change, parameters);
        [parameters, residuals, cost] = [next, nextResiduals, nextCost];
        damping = Math.max(1e-15, damping / 3);
        growth = 2;
        break;
      }
      damping *= growth;
      growth *= 2;
      if (damping > 1e16) {
        isConverged = true;
        break;
      }
    }
  }
  return { parameters, residuals, cost, isConverged };
}

function isSmall(change: readonly number[], parameters: readonly number[]): boolean {
  return change.every((value, i) => Math.abs(value) <= 1e-8 * (Math.abs(at(parameters, i)) + 1e-8));
}

interface Equations {
  readonly matrix: readonly (readonly number[])[];
  readonly gradient: readonly number[];
}

/** JᵀWJ and JᵀWr. */
function normalEquations(
  parameters: readonly number[],
  residuals: readonly number[],
  {
    residualsAt,
    delta,
  }: { residualsAt: (parameters: readonly number[]) => number[]; delta: number },
): Equations {
  const columns = parameters.map((value, i) => {
    const h = 6e-6 * Math.max(Math.abs(value), 1e-3);
    const moved = (by: number): number[] =>
      residualsAt(parameters.map((own, j) => (j === i ? own + by : own)));
    const [above, below] = [moved(h), moved(-h)];
    return above.map((high, row) => (high - at(below, row)) / (2 * h));
  });
  const weights = residuals.map((r) => (Math.abs(r) <= delta ? 1 : delta / Math.abs(r)));
  const product = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((sum, value, row) => sum + at(weights, row) * value * at(b, row), 0);
  return {
    matrix: columns.map((a) => columns.map((b) => product(a, b))),
    gradient: columns.map((column) => product(column, residuals)),
  };
}

/** Solves (A + λ·diag(A))·x = b by Cholesky's decomposition. */
function solveDamped(
  matrix: readonly (readonly number[])[],
  right: readonly number[],
  damping: number,
): number[] {
  const n = right.length;
  const lower: number[][] = [];
  for (let i = 0; i < n; i++) {
    const row: number[] = [];
    for (let j = 0; j <= i; j++) {
      const own = at(at(matrix, i), j);
      // A parameter without effect keeps its value.
      let sum = i === j ? own * (1 + damping) + 1e-300 : own;
      const other = j === i ? row : at(lower, j);
      for (let k = 0; k < j; k++) sum -= at(row, k) * at(other, k);
      row.push(i === j ? Math.sqrt(Math.max(sum, 1e-300)) : sum / at(at(lower, j), j));
    }
    lower.push(row);
  }
  const forward: number[] = [];
  for (let i = 0; i < n; i++) {
    let sum = at(right, i);
    for (let k = 0; k < i; k++) sum -= at(at(lower, i), k) * at(forward, k);
    forward.push(sum / at(at(lower, i), i));
  }
  const solution = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    let sum = at(forward, i);
    for (let k = i + 1; k < n; k++) sum -= at(at(lower, k), i) * at(solution, k);
    solution[i] = sum / at(at(lower, i), i);
  }
  return solution;
}
