/** Gradients of one contrastive batch, whole or in micro-batches (gradient cache). */
import {
  add,
  autocast,
  backward,
  cat,
  clone,
  copy_,
  detach,
  gt,
  keep,
  mul,
  narrow,
  noGrad,
  scope,
  where,
  type GradScaler,
  type Module,
  type Tensor,
} from '@bantam/torch';
import { at } from '../../base/at.js';
import { withGradCheckpointing } from '../../models/index.js';
import type { Features, Losses, StepBatch, StepContext, Strategy } from '../strategies/strategy.js';
import type { MicroBatch } from './micro-batch.js';

/** Options of {@link addGradients}. */
export interface GradientOptions {
  readonly strategy: Strategy;
  readonly step: StepContext;
  /** Multiplier of the loss. */
  readonly weight: number;
  /** Compute activations of the towers' blocks again in the backward pass instead of keeping them. */
  readonly gradCheckpointing: boolean;
  /** Scales the gradients, for float16. */
  readonly scaler?: GradScaler | null;
}

/**
 * Adds the gradients of `weight` times the sum of the losses over all micro-batches to the parameters,
 * and returns the losses by name, scalars on the model's device.
 *
 * Several micro-batches are one contrastive batch on the memory of one of them (gradient cache, Gao et
 * al. 2021, section 3): features without graph, the losses over all features and their gradients, then
 * each micro-batch's features again with graph, with those gradients backwards through them. Random
 * streams are set back in between, so both passes sample the same; the temperature and whatever else
 * only the losses use get their gradient once, and targets are computed once. Batch norms normalise by
 * the micro-batch at hand.
 */
export function addGradients(
  microBatches: readonly MicroBatch[],
  options: GradientOptions,
): Losses {
  return scope(() => {
    const [first, ...more] = microBatches;
    if (first === undefined) return {};
    if (more.length > 0) return addWithCache(microBatches, options);
    const batch = first.load();
    const features = { ...encode(batch, options), ...targetsOf(batch, options) };
    const losses = options.strategy.losses(features, options.step);
    total(losses, options).backward();
    return detached(losses);
  });
}

/** The features of a batch, under autocast. */
export function encode(batch: StepBatch, options: GradientOptions): Features {
  const { strategy, step, gradCheckpointing } = options;
  return withGradCheckpointing(gradCheckpointing, () =>
    autocast(step.precision, () => strategy.encode(batch, step), deviceOf(step)),
  );
}

/** The strategy's targets for a batch, without gradient. */
export function targetsOf(batch: StepBatch, { strategy, step }: GradientOptions): Features {
  const targets = (): Features => strategy.targets?.(batch, step) ?? {};
  return noGrad(() => scope(() => autocast(step.precision, targets, deviceOf(step))));
}

function deviceOf({ model }: Pick<StepContext, 'model'>): Pick<Tensor, 'device'> {
  return { device: model.logitScale.device };
}

/** The rows of all micro-batches, by name. */
function joined(parts: readonly Features[]): Features {
  const rowsOf = (part: Features, name: string): Tensor => {
    const rows = part[name];
    if (rows === undefined) throw new RangeError(`A micro-batch has no features "${name}".`);
    return rows;
  };
  const names = Object.keys(at(parts, 0));
  return Object.fromEntries(
    names.map((name) => [name, cat(parts.map((part) => rowsOf(part, name)))]),
  );
}

/** The weighted sum of the losses, scaled for float16. */
export function total(
  losses: Losses,
  { weight, scaler }: Pick<GradientOptions, 'weight' | 'scaler'>,
): Tensor {
  const [first, ...rest] = Object.values(losses);
  if (first === undefined) throw new RangeError('The strategy has no loss.');
  const sum = rest.reduce(add, first);
  const weighted = weight === 1 ? sum : mul(sum, weight);
  return scaler?.scale(weighted) ?? weighted;
}

/** Losses whose graphs are not needed any more. */
export function detached(losses: Losses): Losses {
  return Object.fromEntries(Object.entries(losses).map(([name, loss]) => [name, detach(loss)]));
}

function addWithCache(microBatches: readonly MicroBatch[], options: GradientOptions): Losses {
  const { strategy, step } = options;
  const { model, streams } = step;
  const buffers = new BufferSnapshot([model]);
  const parts = noGrad(() =>
    microBatches.map((microBatch) => {
      const state = streams.state();
      return scope(() => {
        const batch = microBatch.load();
        return { state, features: encode(batch, options), targets: targetsOf(batch, options) };
      });
    }),
  );
  // Running statistics see every micro-batch once: in the second pass.
  buffers.restore();
  buffers[Symbol.dispose]();
  const whole = joined(parts.map(({ features }) => features));
  for (const feature of Object.values(whole)) feature.requiresGrad = true;
  const targets = joined(parts.map(({ targets }) => targets));
  const losses = strategy.losses({ ...whole, ...targets }, step);
  total(losses, options).backward();
  let start = 0;
  for (const [i, microBatch] of microBatches.entries()) {
    const first = start;
    start += microBatch.size;
    scope(() => {
      streams.setState(at(parts, i).state);
      const again = Object.entries(encode(microBatch.load(), options)).flatMap(
        ([name, feature]) => {
          const gradient = whole[name]?.grad;
          if (!feature.requiresGrad || gradient === undefined || gradient === null) return [];
          return [{ feature, gradient: narrow(gradient, 0, first, microBatch.size) }];
        },
      );
      if (again.length === 0) return;
      backward(
        again.map(({ feature }) => feature),
        again.map(({ gradient }) => gradient),
      );
    });
  }
  return detached(losses);
}

/** A copy of the buffers of modules that a forward pass changes, such as the statistics of batch norms. */
export class BufferSnapshot implements Disposable {
  readonly #kept: readonly { readonly buffer: Tensor; readonly before: Tensor }[];

  constructor(modules: readonly Module[]) {
    this.#kept = noGrad(() =>
      modules
        .flatMap((module) => [...module.namedBuffers().values()])
        .filter(({ persistent }) => persistent)
        .map((buffer) => ({ buffer, before: keep(scope(() => clone(detach(buffer)))) })),
    );
  }

  /** Restores the values that the buffers had. */
  restore(): void {
    noGrad(() => {
      for (const { buffer, before } of this.#kept) copy_(buffer, before);
    });
  }

  /** {@link restore} where a scalar on the buffers' device is 1; where it is 0 nothing changes. */
  restoreIf(condition: Tensor): void {
    noGrad(() => {
      scope(() => {
        const wanted = gt(condition, 0);
        for (const { buffer, before } of this.#kept) copy_(buffer, where(wanted, before, buffer));
      });
    });
  }

  [Symbol.dispose](): void {
    for (const { before } of this.#kept) before.dispose();
  }
}
