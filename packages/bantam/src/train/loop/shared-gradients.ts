/** Gradients of one contrastive batch whose micro-batches several processes share. */
import {
  add_,
  backward,
  cat,
  detach,
  keep,
  narrow,
  noGrad,
  scope,
  type RowRange,
  type Tensor,
} from '@bantam/torch';
import { at } from '../../base/at.js';
import type { Features, Losses } from '../strategies/strategy.js';
import type { World } from '../world/world.js';
import {
  BufferSnapshot,
  detached,
  encode,
  targetsOf,
  total,
  type GradientOptions,
} from './gradients.js';
import type { MicroBatch } from './micro-batch.js';

/** This process's rows of a micro-batch. */
export interface SharedMicroBatch extends MicroBatch {
  /** Samples of the whole micro-batch. */
  readonly whole: number;
}

/** Options of {@link addSharedGradients}. */
export interface SharedGradientOptions extends GradientOptions {
  readonly world: World;
  /** Parameters that learn, in the same order in every process. */
  readonly parameters: readonly Tensor[];
  /** True if the step has no backward pass after those of this batch: the sums of the gradients begin in its last. */
  readonly isLast: boolean;
}

/** A micro-batch's forward pass here. */
interface Part {
  readonly rows: RowRange;
  /** Random streams before it. */
  readonly state: Readonly<Record<string, Uint8Array>>;
  readonly features: Features;
  readonly targets: Features;
}

/**
 * {@link addGradients} of a batch whose micro-batches the processes share: after it the gradients of all
 * processes add up to those of one process with the whole batch.
 *
 * Each process encodes its rows, and the features of all rows are gathered without gradient, in the order
 * that they have in one process. Each then computes the losses of the whole batch and the gradients of
 * all features, as a gradient cache does, and goes backwards through its own rows: nothing needs to
 * be sent back, for the price of the losses' N²·D operations in every process. What only the
 * losses use, such as the temperature, gets its gradient in rank 0.
 *
 * Random numbers are sampled for whole micro-batches, so that they do not depend on the number of processes.
 */
export async function addSharedGradients(
  microBatches: readonly SharedMicroBatch[],
  options: SharedGradientOptions,
): Promise<Losses> {
  const { strategy, step, world, parameters } = options;
  if (microBatches.length === 0) return {};
  const isCached = microBatches.length > 1;
  const parts = encodeParts(microBatches, options, isCached);
  const whole = await gathered(parts, 'features', world);
  const targets = await gathered(parts, 'targets', world);
  try {
    const losses = scope(() => {
      for (const feature of Object.values(whole)) feature.requiresGrad = true;
      const found = strategy.losses({ ...whole, ...targets }, step);
      gradientsOnce(parameters, world, () => {
        total(found, options).backward();
      });
      return detached(found);
    });
    if (isCached) {
      encodeAgain(microBatches, { parts, whole, options });
    } else {
      const { features, rows } = at(parts, 0);
      // Gradient checkpoints sample once more.
      step.streams.forRows(rows, () => {
        scope(() => {
          lastPass(options, () => {
            backwardThrough(features, whole, rows.start);
          });
        });
      });
    }
    return losses;
  } finally {
    const tensors = [
      whole,
      targets,
      ...parts.flatMap(({ features, targets }) => [features, targets]),
    ];
    for (const tensor of tensors.flatMap((some) => Object.values(some))) tensor.dispose();
  }
}

/** The features of this process's rows; of several micro-batches without graph. */
function encodeParts(
  microBatches: readonly SharedMicroBatch[],
  options: SharedGradientOptions,
  isCached: boolean,
): Part[] {
  const { step, world } = options;
  const { streams, model } = step;
  const one = (microBatch: SharedMicroBatch): Part => {
    const rows = world.rows(microBatch.whole);
    const state = streams.state();
    return scope(() => {
      const batch = microBatch.load();
      const features = streams.forRows(rows, () => encode(batch, options));
      const targets = targetsOf(batch, options);
      return { rows, state, features: kept(features), targets: kept(targets) };
    });
  };
  if (!isCached) return microBatches.map(one);
  // Running statistics see every micro-batch once: in the second pass.
  const buffers = new BufferSnapshot([model]);
  try {
    return noGrad(() => microBatches.map(one));
  } finally {
    buffers.restore();
    buffers[Symbol.dispose]();
  }
}

function kept(features: Features): Features {
  for (const feature of Object.values(features)) keep(feature);
  return features;
}

/** The rows of all processes by name, in the order that they have in one process. */
async function gathered(
  parts: readonly Part[],
  kind: 'features' | 'targets',
  world: World,
): Promise<Features> {
  const counts = parts.map(({ rows }) => world.rowCounts(rows.total));
  const perRank = Array.from({ length: world.size }, (_, rank) =>
    counts.reduce((sum, ofBatch) => sum + at(ofBatch, rank), 0),
  );
  const whole: Record<string, Tensor> = {};
  for (const name of Object.keys(at(parts, 0)[kind])) {
    const own = noGrad(() => scope(() => cat(parts.map((part) => rowsNamed(part[kind], name)))));
    const byRank = await world.gatherRows(own, perRank);
    own.dispose();
    whole[name] = keep(scope(() => detach(inOrder(byRank, counts, perRank))));
    byRank.dispose();
  }
  return whole;
}

function rowsNamed(features: Features, name: string): Tensor {
  const rows = features[name];
  if (rows === undefined) throw new RangeError(`A micro-batch has no features "${name}".`);
  return detach(rows);
}

/** Rows by rank, and within a rank by micro-batch, as rows by micro-batch, and within one by rank. */
function inOrder(
  byRank: Tensor,
  counts: readonly (readonly number[])[],
  perRank: readonly number[],
): Tensor {
  let before = 0;
  const next = perRank.map((count) => {
    const start = before;
    before += count;
    return start;
  });
  return cat(
    counts.flatMap((ofBatch) =>
      ofBatch.map((count, rank) => {
        const start = at(next, rank);
        next[rank] = start + count;
        return narrow(byRank, 0, start, count);
      }),
    ),
  );
}

/** Runs the backward pass of the losses, and lets the parameters' gradients of it stand in rank 0 alone. */
function gradientsOnce(parameters: readonly Tensor[], world: World, pass: () => void): void {
  const before = parameters.map(({ grad }) => grad);
  for (const parameter of parameters) parameter.grad = null;
  pass();
  noGrad(() => {
    for (const [i, parameter] of parameters.entries()) {
      const earlier = at(before, i);
      const { grad } = parameter;
      if (world.isFirst && earlier !== null && grad !== null) add_(grad, earlier);
      else if (!world.isFirst || grad === null) parameter.grad = earlier;
    }
  });
}

/** Runs the last backward pass of a batch. */
function lastPass({ world, parameters, isLast }: SharedGradientOptions, pass: () => void): void {
  if (isLast) world.whileSumming(parameters, pass);
  else pass();
}

/** Goes backwards through features here with the gradients that their rows of the whole have, from `start` on. */
function backwardThrough(features: Features, whole: Features, start: number): void {
  const through = Object.entries(features).flatMap(([name, feature]) => {
    const gradient = whole[name]?.grad;
    if (!feature.requiresGrad || gradient === undefined || gradient === null) return [];
    return [{ feature, gradient: narrow(gradient, 0, start, feature.dim(0)) }];
  });
  if (through.length === 0) return;
  backward(
    through.map(({ feature }) => feature),
    through.map(({ gradient }) => gradient),
  );
}

/** Encodes each micro-batch's rows again, with graph, and goes backwards through them. */
function encodeAgain(
  microBatches: readonly SharedMicroBatch[],
  {
    parts,
    whole,
    options,
  }: {
    readonly parts: readonly Part[];
    readonly whole: Features;
    readonly options: SharedGradientOptions;
  },
): void {
  const { streams } = options.step;
  let first = 0;
  for (const [i, microBatch] of microBatches.entries()) {
    const { state, rows } = at(parts, i);
    const start = first + rows.start;
    first += rows.total;
    scope(() => {
      streams.setState(state);
      streams.forRows(rows, () => {
        const features = encode(microBatch.load(), options);
        const pass = (): void => {
          backwardThrough(features, whole, start);
        };
        if (i === parts.length - 1) lastPass(options, pass);
        else pass();
      });
    });
  }
}
