import { noGrad } from '../autograd.js';
import { isFloating } from '../dtype.js';
import { TorchError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { add, mul, neg } from '../ops/arithmetic.js';
import { gt, where } from '../ops/compare.js';
import { lerpEach_ } from '../ops/each.js';
import { copy_ } from '../ops/in-place.js';
import { clone, detach } from '../ops/shape.js';
import { keep, scope } from '../scope.js';
import type { Tensor } from '../tensor.js';

/**
 * min(max, (1 + n)/(10 + n)) after n updates: a decay that forgets the initial weights quickly and
 * then averages over longer and longer spans.
 */
export function emaDecay(updates: number, max: number): number {
  return Math.min(max, (1 + updates) / (10 + updates));
}

/**
 * An exponential moving average of a module's weights: a ← decay·a + (1 − decay)·θ. Integer
 * buffers are copied.
 */
export class Ema {
  readonly #source: ReadonlyMap<string, Tensor>;
  readonly #average: ReadonlyMap<string, Tensor>;

  /** Starts from the module's present weights. */
  constructor(module: Module) {
    this.#source = module.stateDict();
    this.#average = scope(() =>
      noGrad(() => new Map([...this.#source].map(([name, x]) => [name, keep(clone(detach(x)))]))),
    );
  }

  /**
   * Takes the module's present weights into the average. With `foundInf`, a float32 scalar on the weights'
   * device, the device itself decides: where it is 1 the average stays, where it is 0 it is updated.
   */
  update({ decay, foundInf }: { decay: number; foundInf?: Tensor | undefined }): void {
    if (foundInf !== undefined) {
      this.#updateUnless(foundInf, decay);
      return;
    }
    noGrad(() => {
      const pairs = [...this.#average].map(([name, average]) => ({
        average,
        present: this.#source.get(name) ?? average,
      }));
      const floating = pairs.filter(({ average }) => isFloating(average.dtype));
      lerpEach_(
        floating.map(({ average }) => average),
        floating.map(({ present }) => present),
        1 - decay,
      );
      for (const { average, present } of pairs) {
        if (!isFloating(average.dtype)) copy_(average, present);
      }
    });
  }

  #updateUnless(foundInf: Tensor, decay: number): void {
    scope(() => {
      noGrad(() => {
        const weight = mul(add(neg(foundInf), 1), 1 - decay);
        for (const [name, average] of this.#average) {
          const present = this.#source.get(name) ?? average;
          if (isFloating(average.dtype)) lerpEach_([average], [present], [weight]);
          else copy_(average, where(gt(foundInf, 0), average, present));
        }
      });
    });
  }

  /** The averaged weights under the module's names (the tensors themselves): a state dict. */
  state(): ReadonlyMap<string, Tensor> {
    return this.#average;
  }

  /**
   * Continues from what {@link Ema.state} gave, bit for bit.
   *
   * @throws TorchError when it is the state of another module.
   */
  loadState(state: ReadonlyMap<string, Tensor>): void {
    for (const [name, average] of this.#average) {
      const saved = state.get(name);
      if (saved?.shape.join() !== average.shape.join()) {
        throw new TorchError(
          `The averaged weights have no '${name}' of shape [${average.shape.join(', ')}]; give those that were saved with this model.`,
        );
      }
      copy_(average, saved);
    }
  }

  /** Frees the average. */
  dispose(): void {
    for (const tensor of this.#average.values()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
