import {
  add,
  clamp,
  clone,
  detach,
  div,
  full,
  indexCopy_,
  indexSelect,
  keep,
  Module,
  mul,
  noGrad,
  scope,
  sqrt,
  sub,
  TensorBuffer,
  zeros,
  type Tensor,
} from '@bantam/torch';

/** Decay of the moments: that of Bantam's AdamW. */
const [beta1, beta2, eps] = [0.9, 0.98, 1e-6];

/** Bounds of a temperature and of its gradient, as FastCLIP's code has them. */
const [lowest, highest, steepest] = [0.01, 1, 5];

/**
 * A learned temperature for each sample of one side, as version 2 of FastCLIP has it (Wei et al.
 * 2024): only those of the batch at hand take a step of Adam, and without decay.
 */
export class SampleTemperatures extends Module {
  tau: TensorBuffer;
  expAvg: TensorBuffer;
  expAvgSq: TensorBuffer;

  constructor({ samples, initial }: { samples: number; initial: number }) {
    super();
    this.tau = new TensorBuffer(full([samples], initial));
    this.expAvg = new TensorBuffer(zeros([samples]));
    this.expAvgSq = new TensorBuffer(zeros([samples]));
  }

  /** The temperatures of some samples, to take gradients; whoever asks disposes them. */
  leaf(indices: Tensor): Tensor {
    const leaf = keep(noGrad(() => clone(detach(indexSelect(this.tau, 0, indices)))));
    leaf.requiresGrad = true;
    return leaf;
  }

  /**
   * Adam's step for the samples of {@link leaf}. Moments start anew in the first epoch, in which
   * each sample is seen once, and their bias is corrected by the number of epochs.
   */
  update(indices: Tensor, leaf: Tensor, { lr, epoch }: { lr: number; epoch: number }): void {
    const gradient = leaf.grad;
    if (gradient === null) return;
    scope(() => {
      noGrad(() => {
        // The loss is a mean, but every temperature has a gradient of its own.
        const g = clamp(mul(gradient, leaf.size), { min: -steepest, max: steepest });
        const mixed = (moment: Tensor, next: Tensor, beta: number): Tensor => {
          const decay = epoch === 0 ? 0 : beta;
          const old = indexSelect(moment, 0, indices);
          const now = add(mul(old, decay), mul(next, 1 - decay));
          indexCopy_(moment, 0, indices, now);
          return div(now, 1 - decay ** (epoch + 1));
        };
        const first = mixed(this.expAvg, g, beta1);
        const second = mixed(this.expAvgSq, mul(g, g), beta2);
        const moved = sub(leaf, mul(div(first, add(sqrt(second), eps)), lr));
        indexCopy_(this.tau, 0, indices, clamp(moved, { min: lowest, max: highest }));
      });
    });
  }
}
