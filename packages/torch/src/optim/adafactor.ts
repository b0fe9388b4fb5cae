import { at } from '../at.js';
import type { Module } from '../nn/module.js';
import type { Parameter } from '../nn/parameter.js';
import { zeros } from '../ops/create.js';
import {
  addEach_,
  clampMinEach_,
  copyEach_,
  divEach,
  divEach_,
  lerpEach_,
  mulEach,
  mulEach_,
  normEach,
  powEach,
  rsqrtEach,
  rsqrtEach_,
} from '../ops/each.js';
import { mean } from '../ops/reduce.js';
import { keep, scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import type { ParameterGroup } from './groups.js';
import { GroupOptimizer, inParts, type GroupStep, type Work } from './optimizer.js';

/** Options of {@link Adafactor}. */
export interface AdafactorOptions {
  /** Learning rate. Default 1e-3. */
  lr?: number;
  /** λ. Default 0. */
  weightDecay?: number;
  /**
   * Scale of a step's weight decay. `schedule`, the default, is big_vision's: θ ← θ − λ·(lr/lr₀)·θ,
   * where lr₀ is {@link lr} and lr the rate of the step, so that λ is free of the size of the rate
   * and of a group's `lrScale`. `lr` is that of {@link AdamW}: θ ← θ − lr·λ·θ, `lrScale` included.
   * Without `lrScale`, a λ of `schedule` is λ/lr₀ of `lr`.
   */
  decayBy?: 'schedule' | 'lr';
  /** Upper bound of the second moment's decay rate. Default 0.999. */
  beta2Cap?: number;
  /** Decay rate of the momentum, which is not debiased. Default 0.9. */
  momentum?: number;
  /** How the momentum is stored. Default `bfloat16`. */
  momentumDtype?: 'bfloat16' | 'float32' | 'float64';
  /** Added to the squared gradient. Default 1e-30. */
  eps?: number;
  /** The least length of a matrix's sides for which the second moment is factored. Default 32. */
  minDimSizeToFactor?: number;
  /**
   * An update whose root mean square is larger is scaled down to it (Shazeer and Stern 2018,
   * algorithm 4, d). Default null: never.
   */
  clipUpdate?: number | null;
}

/** Optimizer state of a parameter; the second moment is either whole or factored. */
interface Moments {
  readonly expAvg: Tensor;
  readonly expAvgSq?: Tensor;
  /** Means over the longest dimension. */
  readonly expAvgSqRow?: Tensor;
  /** Means over the second longest dimension. */
  readonly expAvgSqCol?: Tensor;
  /** Number of steps taken, a scalar of the parameter's type. */
  readonly step: Tensor;
}

/** Work whose second moment is factored over two dimensions. */
interface Factored extends Work<Moments> {
  readonly row: Tensor;
  readonly col: Tensor;
  readonly longest: number;
  readonly second: number;
}

/** `shape` with length 1 in dimension `dim` */
function without(shape: readonly number[], dim: number): number[] {
  return shape.map((length, index) => (index === dim ? 1 : length));
}

/**
 * Adafactor (Shazeer and Stern 2018) as big_vision trains with it (Zhai et al. 2022, "Scaling Vision
 * Transformers", section 3.4), without relative step sizes. With gradient g at step t = 1, 2, …:
 *
 * β₂ = min(cap, 1 − t^−0.8), v ← β₂·v + (1 − β₂)·(g² + eps), u = g/√v,
 * m ← β₁·m + (1 − β₁)·u, then θ ← θ − (decay) − lr·m.
 *
 * Where the two longest dimensions have at least `minDimSizeToFactor` elements, v is known by its
 * means R and C over each of the two: v = R·C/mean(R). The momentum is stored in bfloat16 by
 * default; the update takes it before it is rounded. (JAX rounds big_vision's β₁ of 0.9 to bfloat16 as
 * well, to 0.8984: an accident that is not repeated here.) A float32 matrix so costs 2 bytes per weight
 * where AdamW's moments cost 8. Parameters are float32 or float64.
 */
export class Adafactor extends GroupOptimizer<Moments> {
  readonly #options: Required<AdafactorOptions>;

  /** Takes groups, or all parameters of a module that are not frozen. */
  constructor(
    source: Module | readonly ParameterGroup[],
    {
      lr = 1e-3,
      weightDecay = 0,
      decayBy = 'schedule',
      beta2Cap = 0.999,
      momentum = 0.9,
      momentumDtype = 'bfloat16',
      eps = 1e-30,
      minDimSizeToFactor = 32,
      clipUpdate = null,
    }: AdafactorOptions = {},
  ) {
    super(source, { lr, weightDecay });
    this.#options = {
      lr,
      weightDecay,
      decayBy,
      beta2Cap,
      momentum,
      momentumDtype,
      eps,
      minDimSizeToFactor,
      clipUpdate,
    };
  }

  /** The longest two dimensions, if long enough; of equally long ones the later is the longer. */
  #factoredDims(shape: readonly number[]): { longest: number; second: number } | null {
    const [longest, second] = shape
      .map((length, dim) => ({ length, dim }))
      .sort((a, b) => b.length - a.length || b.dim - a.dim);
    if (longest === undefined || second === undefined) return null;
    if (second.length < this.#options.minDimSizeToFactor) return null;
    return { longest: longest.dim, second: second.dim };
  }

  protected override newState({ shape, dtype, device }: Parameter): Moments {
    const dims = this.#factoredDims(shape);
    const zero = (lengths: readonly number[]): Tensor => keep(zeros(lengths, { dtype, device }));
    return {
      expAvg: keep(zeros(shape, { dtype: this.#options.momentumDtype, device })),
      ...(dims === null
        ? { expAvgSq: zero(shape) }
        : {
            expAvgSqRow: zero(without(shape, dims.longest)),
            expAvgSqCol: zero(without(shape, dims.second)),
          }),
      step: zero([]),
    };
  }

  protected override stepGroup(work: readonly Work<Moments>[], group: GroupStep): void {
    const { lr, decayBy, momentum } = this.#options;
    const rate = group.lr * group.lrScale;
    const decay = group.weightDecay * (decayBy === 'lr' ? rate : lr === 0 ? 0 : group.lr / lr);
    addEach_(
      work.map(({ state }) => state.step),
      1,
    );
    for (const part of inParts(work)) {
      scope(() => {
        const { items, updates } = this.#scaled(part);
        const momenta = items.map(({ state }) => state.expAvg);
        mulEach_(updates, 1 - momentum);
        addEach_(updates, momenta, momentum);
        copyEach_(momenta, updates);
        const parameters = items.map(({ parameter }) => parameter);
        if (decay !== 0) mulEach_(parameters, 1 - decay);
        addEach_(parameters, updates, -rate);
      });
    }
  }

  /** Gradients over the roots of their second moments, with the work in the same order. */
  #scaled(part: readonly Work<Moments>[]): { items: Work<Moments>[]; updates: Tensor[] } {
    const whole: (Work<Moments> & { expAvgSq: Tensor })[] = [];
    const factored: Factored[] = [];
    for (const item of part) {
      const { expAvgSq, expAvgSqRow: row, expAvgSqCol: col } = item.state;
      const dims = this.#factoredDims(item.parameter.shape);
      if (expAvgSq) whole.push({ ...item, expAvgSq });
      else if (row && col && dims) factored.push({ ...item, row, col, ...dims });
    }
    const items = [...whole, ...factored];
    const gradients = items.map(({ gradient }) => gradient);
    const squares = mulEach(gradients, gradients);
    addEach_(squares, this.#options.eps);
    // 1 − β₂ = max(1 − cap, t^−0.8)
    const weights = powEach(
      items.map(({ state }) => state.step),
      -0.8,
    );
    clampMinEach_(weights, 1 - this.#options.beta2Cap);
    const updates = [
      ...scaleWhole(whole, squares.slice(0, whole.length), weights.slice(0, whole.length)),
      ...scaleFactored(factored, squares.slice(whole.length), weights.slice(whole.length)),
    ];
    this.#clip(updates);
    return { items, updates };
  }

  #clip(updates: readonly Tensor[]): void {
    const { clipUpdate } = this.#options;
    if (clipUpdate === null) return;
    const excess = normEach(updates);
    mulEach_(
      excess,
      updates.map(({ size }) => 1 / (clipUpdate * Math.sqrt(size))),
    );
    clampMinEach_(excess, 1);
    divEach_(updates, excess);
  }
}

function scaleWhole(
  work: readonly { gradient: Tensor; expAvgSq: Tensor }[],
  squares: readonly Tensor[],
  weights: readonly Tensor[],
): Tensor[] {
  if (work.length === 0) return [];
  const moments = work.map(({ expAvgSq }) => expAvgSq);
  lerpEach_(moments, squares, weights);
  const factors = rsqrtEach(moments);
  mulEach_(
    factors,
    work.map(({ gradient }) => gradient),
  );
  return factors;
}

function scaleFactored(
  work: readonly Factored[],
  squares: readonly Tensor[],
  weights: readonly Tensor[],
): Tensor[] {
  if (work.length === 0) return [];
  const rows = work.map(({ row }) => row);
  const cols = work.map(({ col }) => col);
  const meansOver = (tensors: readonly Tensor[], dim: 'longest' | 'second'): Tensor[] =>
    tensors.map((tensor, index) => mean(tensor, { dim: at(work, index)[dim], keepdim: true }));
  lerpEach_(rows, meansOver(squares, 'longest'), weights);
  lerpEach_(cols, meansOver(squares, 'second'), weights);
  const rowFactors = divEach(rows, meansOver(rows, 'second'));
  rsqrtEach_(rowFactors);
  const updates = mulEach(
    work.map(({ gradient }) => gradient),
    rowFactors,
  );
  mulEach_(updates, rsqrtEach(cols));
  return updates;
}
