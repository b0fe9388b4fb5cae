import type { Module } from '../nn/module.js';
import type { Parameter } from '../nn/parameter.js';
import { Operator } from '../operator.js';
import { add, neg } from '../ops/arithmetic.js';
import { zeros, zerosLike } from '../ops/create.js';
import { addEach_ } from '../ops/each.js';
import { keep } from '../scope.js';
import type { Tensor } from '../tensor.js';
import type { ParameterGroup } from './groups.js';
import { GroupOptimizer, type GroupStep, type Work } from './optimizer.js';

const fusedAdamW = new Operator('aten::_fused_adamw_');

/** Options of {@link AdamW}. */
export interface AdamWOptions {
  /** Learning rate. Default 1e-3. */
  lr?: number;
  /** Decay rates of the two moments. Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  eps?: number;
  /** Default 0.01. */
  weightDecay?: number;
}

/** Optimizer state of a parameter. */
interface Moments {
  readonly expAvg: Tensor;
  readonly expAvgSq: Tensor;
  /** Number of steps taken, a float32 scalar. */
  readonly step: Tensor;
}

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), by libtorch's fused
 * kernel: θ ← θ − lr·λ·θ, then θ ← θ − lr·m̂/(√v̂ + eps) with bias-corrected moments m̂ and v̂.
 */
export class AdamW extends GroupOptimizer<Moments> {
  override readonly skipsOnDevice = true;
  readonly #betas: readonly [number, number];
  readonly #eps: number;

  /** Takes groups, or all parameters of a module that are not frozen. */
  constructor(
    source: Module | readonly ParameterGroup[],
    { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 }: AdamWOptions = {},
  ) {
    super(source, { lr, weightDecay });
    this.#betas = betas;
    this.#eps = eps;
  }

  protected override newState(parameter: Parameter): Moments {
    return {
      expAvg: keep(zerosLike(parameter)),
      expAvgSq: keep(zerosLike(parameter)),
      step: keep(zeros([], { device: parameter.device })),
    };
  }

  protected override stepGroup(work: readonly Work<Moments>[], group: GroupStep): void {
    const steps = work.map(({ state }) => state.step);
    const { foundInf } = group;
    addEach_(steps, foundInf === undefined ? 1 : add(neg(foundInf), 1));
    fusedAdamW.inPlace(
      work.map(({ parameter }) => parameter),
      work.map(({ gradient }) => gradient),
      work.map(({ state }) => state.expAvg),
      work.map(({ state }) => state.expAvgSq),
      [],
      steps,
      group.lr * group.lrScale,
      this.#betas[0],
      this.#betas[1],
      group.weightDecay,
      this.#eps,
      false,
      false,
      null,
      foundInf ?? null,
    );
  }
}
