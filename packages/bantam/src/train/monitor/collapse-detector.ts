/** Steps that are looked at together. */
const span = 20;

/** Share of the budget that is left to a training to get going. */
const patience = 0.05;

/** How near the mean loss must be to the collapsed one, relative to it. */
const nearness = 0.005;

/** How small the gradient must be, relative to the largest so far. */
const smallness = 0.01;

/** A step as {@link StuckLoss} sees it. */
export interface ObservedStep {
  readonly step: number;
  readonly loss: number;
  readonly gradNorm: number;
  /** Share of the budget used. */
  readonly progress: number;
  /** The loss where all features are equal; null where that is not known. */
  readonly collapsed: number | null;
}

/**
 * Notices that all features have become equal, of which a training hardly recovers: over 20 steps
 * the mean loss is within 0.5 % of that of equal features, and no gradient is above 1 % of the
 * largest so far. A healthy training too begins near that loss, but with large gradients.
 */
export class StuckLoss {
  readonly #losses: number[] = [];
  readonly #gradients: number[] = [];
  #largest = 0;
  #told = false;

  /** Takes a step in; returns the diagnosis with its remedies the first time that it holds. */
  observe({ step, loss, gradNorm, progress, collapsed }: ObservedStep): string | null {
    this.#losses.push(loss);
    this.#gradients.push(gradNorm);
    this.#largest = Math.max(this.#largest, gradNorm);
    if (this.#losses.length < span) return null;
    const stuck =
      !this.#told &&
      collapsed !== null &&
      progress >= patience &&
      Math.abs(mean(this.#losses) - collapsed) <= nearness * Math.abs(collapsed) &&
      Math.max(...this.#gradients) < smallness * this.#largest;
    this.#losses.shift();
    this.#gradients.shift();
    if (!stuck) return null;
    this.#told = true;
    return `The features have collapsed: at step ${step} the loss stays at ${collapsed.toFixed(3)}, where all pictures and all captions look alike, and the gradient is as good as zero. Start again with a lower train.lr, then with a longer train.warmup.`;
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
