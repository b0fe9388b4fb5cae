import type { Module } from '../nn/module.js';
import type { Parameter } from '../nn/parameter.js';
import { zerosLike } from '../ops/create.js';
import { addEach_, lerpEach, lerpEach_, mulEach_, signEach_ } from '../ops/each.js';
import { keep, scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import type { ParameterGroup } from './groups.js';
import { GroupOptimizer, inParts, type GroupStep, type Work } from './optimizer.js';

/** Options of {@link Lion}. */
export interface LionOptions {
  /** Learning rate: a third to a tenth of AdamW's. Default 1e-4. */
  lr?: number;
  /** β₁ of the update and β₂ of the momentum. Default [0.9, 0.99]. */
  betas?: readonly [number, number];
  /** λ: three to ten times AdamW's, so that lr·λ is alike. Default 0. */
  weightDecay?: number;
}

interface Momentum {
  readonly expAvg: Tensor;
}

/**
 * Lion (Chen et al. 2023, algorithm 2): θ ← θ − lr·λ·θ, then θ ← θ − lr·sign(β₁·m + (1 − β₁)·g),
 * then m ← β₂·m + (1 − β₂)·g.
 */
export class Lion extends GroupOptimizer<Momentum> {
  readonly #betas: readonly [number, number];

  /** Takes groups, or all parameters of a module that are not frozen. */
  constructor(
    source: Module | readonly ParameterGroup[],
    { lr = 1e-4, betas = [0.9, 0.99], weightDecay = 0 }: LionOptions = {},
  ) {
    super(source, { lr, weightDecay });
    this.#betas = betas;
  }

  protected override newState(parameter: Parameter): Momentum {
    return { expAvg: keep(zerosLike(parameter)) };
  }

  protected override stepGroup(work: readonly Work<Momentum>[], group: GroupStep): void {
    const [beta1, beta2] = this.#betas;
    const rate = group.lr * group.lrScale;
    for (const part of inParts(work)) {
      scope(() => {
        const parameters = part.map(({ parameter }) => parameter);
        const gradients = part.map(({ gradient }) => gradient);
        const momenta = part.map(({ state }) => state.expAvg);
        const updates = lerpEach(momenta, gradients, 1 - beta1);
        signEach_(updates);
        mulEach_(parameters, 1 - rate * group.weightDecay);
        addEach_(parameters, updates, -rate);
        lerpEach_(momenta, gradients, 1 - beta2);
        // The sign of NaN is 0: what is not finite has to reach the weights, as 0·m, to be seen.
        addEach_(parameters, momenta, 0);
      });
    }
  }
}
