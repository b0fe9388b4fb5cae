import { emptyCache } from '@bantam/torch';
import { at } from '../../base/at.js';
import type { TrainConfig } from '../config/config.js';
import type { TrainSettings } from '../config/settings.js';
import { Trainer } from '../loop/trainer.js';
import { unspent, type Spent } from '../config/budget.js';
import { preparedAtOnce, microBatchSize } from '../loop/micro-batch.js';
import type { TimeCosts } from './plan-time.js';
import { dummyTraining, RECORDS, strategyFacts, type PlanContext } from './dummy-data.js';

/** Seconds of something that has a size, measured if that is quick. */
export interface MeasuredTime {
  readonly seconds: number;
  /** The size that was measured: the wanted one, or a smaller one that it was continued from. */
  readonly measuredOn: number;
}

/** A step that would take longer, in seconds, is continued from smaller ones. */
const LONGEST = 5;

/** Options of {@link measureTimes}. */
export interface MeasureTimesOptions {
  /** Cost of the run so far. */
  readonly spent?: Spent | undefined;
  /** Seconds for which steps of one size are measured again and again. Default 2. */
  readonly enough?: number | undefined;
}

/** So many steps of one size are measured at least, and at most. */
const [FEWEST, MOST] = [2, 5];

/**
 * The cost of a training's steps: FLOPs as budgets count them, and seconds of real steps on noise, after
 * one that warms up. A pass over the data before the first step is measured on the source's own images.
 */
export async function measureTimes(
  config: TrainConfig,
  context: PlanContext,
  { spent = unspent, enough = 2 }: MeasureTimesOptions = {},
): Promise<TimeCosts> {
  const { train } = config;
  const { phases, storedBytes } = strategyFacts(config, context);
  const samplesPerStep = train.batchSize * train.accumulate;
  const costs = [];
  for (const [phaseIndex, { phase, flops }] of phases.entries()) {
    const sizes = smallerSteps(train);
    const { seconds, measuredOn } = await secondsOf(
      sizes.map(({ samples }) => samples),
      async (samples) => {
        const found = sizes.find((one) => one.samples === samples);
        context.emit?.({ kind: 'preparing', message: `timing steps of ${samples} samples` });
        const sized = { ...config, train: found?.train ?? train };
        return stepSeconds(sized, context, { phaseIndex, enough });
      },
    );
    const { name, fraction } = phase;
    const flopsPerStep = samplesPerStep * flops;
    costs.push({ name, fraction, flopsPerStep, secondsPerStep: seconds, measuredOn });
  }
  const preparation = storedBytes === 0 ? 0 : await preparationSeconds(config, context);
  return { samplesPerStep, phases: costs, preparation, spent };
}

/**
 * Measures something of growing sizes up to the last, and ends before a size that would take longer
 * than {@link LONGEST}, by the line through the last two: from there that line is continued. By one size
 * alone time is proportional to it, which is too much, as a part of a step does not grow; so the second size is
 * measured unless the first took longer. Sizes before the last are left out once the last is expected
 * to be quick.
 *
 * @param sizes - In ascending order
 */
export async function secondsOf(
  sizes: readonly number[],
  measure: (size: number) => Promise<number>,
): Promise<MeasuredTime> {
  const wanted = at(sizes, -1);
  const points: { size: number; seconds: number }[] = [];
  const continued = (size: number): number => {
    const [last, before] = points.toReversed();
    if (last === undefined) return 0;
    if (before === undefined) return (last.seconds * size) / last.size;
    const slope = Math.max(0, (last.seconds - before.seconds) / (last.size - before.size));
    return last.seconds + slope * (size - last.size);
  };
  for (const size of sizes) {
    const isQuick = points.length > 0 && continued(wanted) <= LONGEST;
    if (isQuick && size < wanted) continue;
    // One size alone cannot tell what grows with it, such as the optimizer's step from what does not.
    const known = points.length === 1 ? at(points, 0).seconds : continued(size);
    if (known > LONGEST) break;
    points.push({ size, seconds: await measure(size) });
  }
  return { seconds: continued(wanted), measuredOn: at(points, -1).size };
}

/** The step of these settings, after steps of 4, 8, 32, 128 … samples that are made like it. */
export function smallerSteps(train: TrainSettings): { samples: number; train: TrainSettings }[] {
  const { batchSize, accumulate } = train;
  const present = microBatchSize(train);
  const of = (wanted: number): TrainSettings => {
    if (wanted >= batchSize) return { ...train, accumulate: Math.floor(wanted / batchSize) };
    if (present === batchSize) return { ...train, batchSize: wanted, accumulate: 1 };
    const microBatch = Math.min(present, Math.floor(wanted / 2));
    return { ...train, batchSize: wanted - (wanted % microBatch), microBatch, accumulate: 1 };
  };
  const whole = { samples: batchSize * accumulate, train };
  const steps = [];
  for (let wanted = 4; wanted < whole.samples; wanted *= wanted === 4 ? 2 : 4) {
    const smaller = of(wanted);
    steps.push({ samples: smaller.batchSize * smaller.accumulate, train: smaller });
  }
  return [...steps, whole];
}

/**
 * Median seconds of a few steps of a phase, as the trainer counts them, after a first one. The step after that
 * still took 1.4 times as long as later ones, as memory is touched first; of two or four the lower middle one counts.
 */
async function stepSeconds(
  config: TrainConfig,
  context: PlanContext,
  { phaseIndex, enough }: { readonly phaseIndex: number; readonly enough: number },
): Promise<number> {
  const shape = { phaseIndex, size: microBatchSize(config.train) };
  using dummy = dummyTraining(endless(config), context, shape);
  try {
    using trainer = new Trainer(dummy, dummy.batches);
    await dummy.prepare(trainer.model, RECORDS);
    const steps = trainer.run();
    await steps.next();
    const times: number[] = [];
    const start = trainer.spent.seconds;
    const elapsed = (): number => trainer.spent.seconds - start;
    while (times.length < FEWEST || (times.length < MOST && elapsed() < enough)) {
      const before = trainer.spent.seconds;
      await steps.next();
      times.push(trainer.spent.seconds - before);
    }
    await steps.return();
    times.sort((a, b) => a - b);
    return at(times, (times.length - 1) >> 1);
  } finally {
    emptyCache();
  }
}

/** Seconds of encoding every image of the source before the first step. */
async function preparationSeconds(config: TrainConfig, context: PlanContext): Promise<number> {
  const most = preparedAtOnce(config.train);
  using dummy = dummyTraining(endless(config), context, { phaseIndex: 0, size: 1 });
  try {
    using trainer = new Trainer(dummy, dummy.batches);
    const sizes = [4, 8, 32, 128].filter((size) => size < most);
    const { seconds } = await secondsOf([...sizes, most], async (size) => {
      const message = `timing ${size} images through the image tower`;
      context.emit?.({ kind: 'preparing', message });
      await dummy.prepare(trainer.model, size);
      const start = performance.now();
      await dummy.prepare(trainer.model, size);
      return (performance.now() - start) / 1000;
    });
    return seconds * (context.source.size / most);
  } finally {
    emptyCache();
  }
}

function endless(config: TrainConfig): TrainConfig {
  return { ...config, budget: '1e15samples' };
}
