import { mean } from '../../base/statistics.js';

/** Steps that are observed together. */
const span = 20;

/** Fraction of the budget before which nothing is diagnosed: training may need it to start. */
const gracePeriod = 0.05;

/** Largest difference of the mean loss from the collapsed one, relative to it. */
const lossTolerance = 0.005;

/** Largest gradient norm of a collapsed training, relative to the largest so far. */
const gradTolerance = 0.01;

/** A step as {@link CollapseDetector} observes it. */
export interface ObservedStep {
  readonly step: number;
  readonly loss: number;
  readonly gradNorm: number;
  /** Fraction of the budget used. */
  readonly progress: number;
  /** The loss if all features are equal; null if that is unknown. Asked only if the rest holds. */
  readonly collapsed: () => number | null;
}

/**
 * Notices that all features have become equal, of which a training hardly recovers: over 20 steps
 * the mean loss is within 0.5 % of that of equal features, and no gradient is above 1 % of the
 * largest so far. A healthy training too starts near that loss, but with large gradients.
 */
export class CollapseDetector {
  readonly #losses: number[] = [];
  readonly #gradients: number[] = [];
  #largest = 0;
  #diagnosed = false;

  /** Takes a step in; returns the diagnosis with its remedies the first time that it holds. */
  observe({ step, loss, gradNorm, progress, collapsed }: ObservedStep): string | null {
    this.#losses.push(loss);
    this.#gradients.push(gradNorm);
    this.#largest = Math.max(this.#largest, gradNorm);
    if (this.#losses.length < span) return null;
    const isSuspect =
      !this.#diagnosed &&
      progress >= gracePeriod &&
      Math.max(...this.#gradients) < gradTolerance * this.#largest;
    const found = isSuspect ? collapsed() : null;
    const hasCollapsed =
      found !== null && Math.abs(mean(this.#losses) - found) <= lossTolerance * Math.abs(found);
    this.#losses.shift();
    this.#gradients.shift();
    if (!hasCollapsed) return null;
    this.#diagnosed = true;
    return `The features have collapsed: at step ${step} the loss stays at ${found.toFixed(3)}, its value if all images and all captions have equal features, and the gradient is almost zero. Start again with a lower train.lr, then with a longer train.warmup.`;
  }
}
