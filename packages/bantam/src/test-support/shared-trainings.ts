/** Trainings of every strategy that several processes share, and how far two runs of one are apart. */
import assert from 'node:assert/strict';
import { basename, join } from 'node:path';
import { abs, at, loadSafetensors, max, noGrad, scope, sub, to, type Tensor } from '@bantam/torch';
import { modelConfig, withChanges, type ModelConfig } from '../models/index.js';
import type { TrainInput } from '../train/config/settings.js';
import { listCheckpoints, readCheckpointState } from '../train/run-dir/checkpoint.js';
import { readMetrics } from '../train/run-dir/metrics.js';
import type { TrainOptions } from '../train/train.js';
import { tiny, tinyCoca, type TinyRuns } from './tiny-runs.js';

/** Seven samples in a step are 3 and 4, or 2, 2 and 3, or 1, 2, 2 and 2. */
const uneven = { batchSize: 7, clipNorm: 0.5, ema: 0.9, lr: 3e-4 } as const;

/** An image tower with batch norms. */
const residual = modelConfig('RN50', {
  embedDim: 16,
  vision: { imageSize: 32, width: 4, depths: [1, 1, 1, 1], headWidth: 8 },
  text: { width: 16, heads: 2, layers: 1 },
});

/** Mixtures whose experts are full at times. */
const moe = { experts: 3, topK: 1, every: 1, capacityFactor: 1.25 } as const;

/** Two towers with mixtures of experts. */
const mixtures: ModelConfig = withChanges(tiny, { vision: { moe }, text: { moe } });

/**
 * Trainings by name; what one process does, several do.
 *
 * @param teacher - A model directory
 */
export function sharedTrainings(teacher: string): Readonly<Record<string, Partial<TrainOptions>>> {
  const teachers = [teacher];
  return {
    clip: {},
    // Over few values batch norms amplify rounding.
    'batch norms': { model: residual, train: { lr: 1e-4 } },
    siglip: { strategy: { type: 'siglip' } },
    'positives of one caption': {
      strategy: { type: 'clip', loss: { type: 'softmax', duplicates: 'positives' } },
    },
    flip: { strategy: { type: 'flip', tuneFraction: 0.5 } },
    clipa: { strategy: { type: 'clipa', textLength: 6, tuneFraction: 0.25 } },
    slip: { strategy: { type: 'slip', headWidth: 12, headDim: 8 } },
    coca: { model: tinyCoca, strategy: { type: 'coca' } },
    fastclip: { strategy: { type: 'fastclip' } },
    'fastclip v2': { strategy: { type: 'fastclip', loss: { type: 'global', version: 'v2' } } },
    distill: { strategy: { type: 'distill', teachers } },
    siclip: { strategy: { type: 'siclip', teachers } },
    lit: { init: { model: '', image: teacher }, strategy: { type: 'lit' } },
    'low-rank changes': { init: { model: teacher }, fineTune: { type: 'lora', dropout: 0.2 } },
    'mixtures of experts': { model: mixtures },
    'gradient cache': {
      strategy: { type: 'flip', tuneFraction: 0.5 },
      train: { batchSize: 8, microBatch: 4, accumulate: 2, gradCheckpointing: true },
    },
    'batch norms in micro-batches': {
      model: residual,
      train: { batchSize: 14, microBatch: 7, lr: 1e-4 },
    },
  };
}

/** Options of {@link sharedOptions}. */
export interface SharedOptions {
  /** One of {@link sharedTrainings}. */
  readonly name: string;
  /** Folder of the run among those of the tests. */
  readonly folder: string;
  readonly steps: number;
  readonly changes?: Pick<TrainOptions, 'data'>;
  readonly train?: TrainInput;
}

/** The options of a training that tests and measurements share. The run `teacher` has to be there. */
export function sharedOptions(
  runs: TinyRuns,
  { name, folder, steps, changes, train }: SharedOptions,
): TrainOptions {
  const trainings = sharedTrainings(runs.path('teacher', 'model'));
  const own = at(Object.values(trainings), Object.keys(trainings).indexOf(name));
  const settings = { ...uneven, ...own.train, ...train };
  const { batchSize = uneven.batchSize, accumulate = 1 } = settings;
  const samples = steps * batchSize * accumulate;
  const { model = tiny } = own;
  const options = runs.options(`${folder}/${name}`, {
    ...own,
    ...changes,
    budget: `${samples}samples`,
    train: settings,
  });
  const isStarted = own.init?.model !== undefined && own.init.model !== '';
  if (!isStarted) return { ...options, model };
  const { model: unused, ...started } = options;
  assert.ok(unused);
  return started;
}

/** Largest differences of two runs, each relative to the number's own size. */
export interface RunDistance {
  /** Of the losses of all steps, of those above 1 relative. */
  readonly loss: number;
  /**
   * Of AdamW's first moments in the checkpoints that both have, with `train.beta1` 0 the gradients: of every
   * parameter, relative to the largest number of all.
   */
  readonly gradient: number;
  /** The same of all checkpoints but the worst: an activation may cross the kink of a ReLU in a step. */
  readonly gradientButOne: number;
  /** The same of all, relative to the largest number of the parameter's own, or 10⁻³ of the largest of all. */
  readonly ownGradient: number;
  /** Of the weights in the last checkpoint: of each tensor, of those with numbers above 1 relative. */
  readonly weight: number;
}

/** @throws AssertionError unless both have the same steps, rates, samples, random streams and parameters. */
export function distanceOf(run: string, expected: string): RunDistance {
  const [found, wanted] = [readMetrics(run), readMetrics(expected)];
  assert.equal(found.length, wanted.length);
  const losses = found.map((row, i) => {
    const { lr, samples, epoch, loss } = at(wanted, i);
    assert.deepEqual([row.lr, row.samples, row.epoch], [lr, samples, epoch]);
    return Math.abs(row.loss - loss) / Math.max(1, Math.abs(loss));
  });
  const [own, theirs] = [listCheckpoints(run), listCheckpoints(expected)];
  const [last, itsLast] = [at(own, -1), at(theirs, -1)];
  assert.equal(basename(last), basename(itsLast));
  const gradients = own.flatMap((path) => {
    const other = theirs.find((one) => basename(one) === basename(path));
    if (other === undefined) return [];
    const [a, b] = [gradientsIn(path), gradientsIn(other)];
    const largest = Math.max(...[...b.values()].map(largestOf));
    return [[farthest(a, b, largest), farthest(a, b, 1e-3 * largest)] as const];
  });
  const ofAll = gradients.map(([all]) => all);
  const [state, itsState] = [readCheckpointState(last), readCheckpointState(itsLast)];
  const { streams, position, epoch } = itsState;
  assert.deepEqual([state.streams, state.position, state.epoch], [streams, position, epoch]);
  return {
    loss: Math.max(...losses),
    gradient: Math.max(...ofAll),
    gradientButOne: [...ofAll].sort((a, b) => b - a)[1] ?? Math.max(...ofAll),
    ownGradient: Math.max(...gradients.map(([, own]) => own)),
    weight: farthest(tensorsIn(last, 'model'), tensorsIn(itsLast, 'model'), 1),
  };
}

function tensorsIn(checkpoint: string, part: string): ReadonlyMap<string, Tensor> {
  return loadSafetensors(join(checkpoint, `${part}.safetensors`)).tensors;
}

function gradientsIn(checkpoint: string): Map<string, Tensor> {
  const moments = [...tensorsIn(checkpoint, 'optimizer')];
  return new Map(moments.filter(([name]) => name.endsWith('.exp_avg')));
}

function largestOf(tensor: Tensor): number {
  return scope(() => max(abs(tensor)).item());
}

/** The largest difference of tensors of the same names, relative to each one's largest number or `least`. */
function farthest(
  found: ReadonlyMap<string, Tensor>,
  expected: ReadonlyMap<string, Tensor>,
  least: number,
): number {
  assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort());
  const differences = [...expected].map(([name, tensor]) => {
    const own = found.get(name);
    assert.ok(own);
    const away = noGrad(() => largestOfDifference(own, tensor));
    return away / Math.max(least, largestOf(tensor), Number.MIN_VALUE);
  });
  return Math.max(...differences);
}

function largestOfDifference(a: Tensor, b: Tensor): number {
  const wide = { dtype: 'float64' } as const;
  return scope(() => largestOf(sub(to(a, wide), to(b, wide))));
}
