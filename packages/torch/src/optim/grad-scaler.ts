import { noGrad } from '../autograd.js';
import type { Device } from '../device.js';
import { Operator } from '../operator.js';
import { mul, pow } from '../ops/arithmetic.js';
import { full, zeros } from '../ops/create.js';
import { fill_ } from '../ops/in-place.js';
import { keep, scope } from '../scope.js';
import type { Tensor } from '../tensor.js';

const unscaleOp = new Operator('aten::_amp_foreach_non_finite_check_and_unscale_');
const updateScaleOp = new Operator('aten::_amp_update_scale_');

/** Options of {@link GradScaler}; the defaults are PyTorch's. */
export interface GradScalerOptions {
  /** Device of the gradients. Default `cpu`. */
  device?: Device;
  /** Scale of the first step. Default 65536. */
  initialScale?: number;
  /** Multiplier of the scale after `growthInterval` finite steps in a row. Default 2. */
  growthFactor?: number;
  /** Multiplier of the scale after a step that is not finite. Default 0.5. */
  backoffFactor?: number;
  /** Default 2000. */
  growthInterval?: number;
}

/** State of a {@link GradScaler}, as a checkpoint keeps it. */
export interface GradScalerState {
  readonly scale: number;
  /** Finite steps since the scale changed. */
  readonly growthTracker: number;
}

/**
 * Loss scaling for training in float16, whose gradients are often too small for it (Micikevicius et al.
 * 2018, section 3.2): the loss is multiplied by a scale, the gradients are divided by it again, and the
 * scale adapts to what float16 holds. Everything happens on the device, nobody waits for it.
 */
export class GradScaler implements Disposable {
  readonly #options: Required<GradScalerOptions>;
  readonly #scale: Tensor;
  readonly #growthTracker: Tensor;

  constructor({
    device = 'cpu',
    initialScale = 65536,
    growthFactor = 2,
    backoffFactor = 0.5,
    growthInterval = 2000,
  }: GradScalerOptions = {}) {
    this.#options = { device, initialScale, growthFactor, backoffFactor, growthInterval };
    this.#scale = keep(full([], initialScale, { device }));
    this.#growthTracker = keep(zeros([], { dtype: 'int32', device }));
  }

  /** The present scale, a scalar of the device: the tensor itself. */
  get current(): Tensor {
    return this.#scale;
  }

  /** loss · scale */
  scale(loss: Tensor): Tensor {
    return mul(loss, this.#scale);
  }

  /**
   * Divides gradients by the scale, in place.
   *
   * @returns 1 if one of them is not finite, else 0: a float32 scalar of the device
   */
  unscale(gradients: readonly Tensor[]): Tensor {
    return scope(() =>
      noGrad(() => {
        const foundInf = zeros([], { device: this.#options.device });
        if (gradients.length > 0) unscaleOp.inPlace(gradients, foundInf, pow(this.#scale, -1));
        return foundInf;
      }),
    );
  }

  /** Adapts the scale: less where `foundInf` is 1, more after enough steps where it was 0. */
  update(foundInf: Tensor): void {
    const { growthFactor, backoffFactor, growthInterval } = this.#options;
    updateScaleOp.inPlace(
      this.#scale,
      this.#growthTracker,
      foundInf,
      growthFactor,
      backoffFactor,
      growthInterval,
    );
  }

  /** The state; waits for the device. */
  state(): GradScalerState {
    return { scale: this.#scale.item(), growthTracker: this.#growthTracker.item() };
  }

  /** Continues from what {@link state} gave. */
  loadState({ scale, growthTracker }: GradScalerState): void {
    fill_(this.#scale, scale);
    fill_(this.#growthTracker, growthTracker);
  }

  [Symbol.dispose](): void {
    this.#scale.dispose();
    this.#growthTracker.dispose();
  }
}
