import { emptyCache } from '@bantam/torch';
import type { TrainConfig, TrainSettings } from '../config/config.js';
import { createTrainer, type TrainerSetup } from '../loop/create-trainer.js';
import { nothingSpent, type Spent } from '../config/budget.js';
import { encodedAtOnce, loadSize } from '../loop/micro-batch.js';
import type { TimeCosts } from './plan-time.js';
import { RECORDS, standIn, strategyFacts, type PlanOptions, type StandIn } from './dummy-data.js';

/** Seconds of something that has a size, measured where that is quick. */
export interface MeasuredTime {
  readonly seconds: number;
  /** The size that was measured: the wanted one, or a smaller one that it was continued from. */
  readonly measuredOn: number;
}

/** A step that would take longer, in seconds, is continued from smaller ones. */
const LONGEST = 5;

/** Seconds for which a step is measured again and again. */
const ENOUGH = 2;

/** No more steps of one size are measured. */
const MOST = 5;

/**
 * What a training's steps take: operations as budgets count them, and seconds of real steps on noise,
 * after one that warms up. The data that are encoded before the first step are measured on pictures of
 * their own.
 */
export async function measureTimes(
  config: TrainConfig,
  options: PlanOptions,
  spent: Spent = nothingSpent,
): Promise<TimeCosts> {
  const { train } = config;
  const { phases, storedBytes } = strategyFacts(config, options);
  const samplesPerStep = train.batchSize * train.accumulate;
  const costs = [];
  for (const [place, { phase, flops }] of phases.entries()) {
    const sizes = smallerSteps(train);
    const { seconds, measuredOn } = await secondsOf(
      sizes.map(({ samples }) => samples),
      async (samples) => {
        const found = sizes.find((one) => one.samples === samples);
        options.onProgress?.(`timing steps of ${samples} samples`);
        return stepSeconds({ ...config, train: found?.train ?? train }, options, place);
      },
    );
    const { name, share } = phase;
    const flopsPerStep = samplesPerStep * flops;
    costs.push({ name, share, flopsPerStep, secondsPerStep: seconds, measuredOn });
  }
  const preparation = storedBytes === 0 ? 0 : await preparationSeconds(config, options);
  return { samplesPerStep, phases: costs, preparation, spent };
}

/**
 * Measures something of growing sizes up to the last, and ends before a size that would take longer
 * than {@link LONGEST}, by the line through the last two: from there that line is continued. The
 * second size is left out only where the first took longer.
 *
 * @param sizes - In ascending order
 */
export async function secondsOf(
  sizes: readonly number[],
  measure: (size: number) => Promise<number>,
): Promise<MeasuredTime> {
  const wanted = sizes.at(-1) ?? 0;
  const points: { size: number; seconds: number }[] = [];
  const continued = (size: number): number => {
    const [last, before] = points.toReversed();
    if (last === undefined) return 0;
    if (before === undefined) return (last.seconds * size) / last.size;
    const slope = Math.max(0, (last.seconds - before.seconds) / (last.size - before.size));
    return last.seconds + slope * (size - last.size);
  };
  for (const size of sizes) {
    // One size alone cannot tell what grows with it, such as the optimizer's step from what does not.
    const known = points.length === 1 ? (points[0]?.seconds ?? 0) : continued(size);
    if (known > LONGEST) break;
    points.push({ size, seconds: await measure(size) });
  }
  return { seconds: continued(wanted), measuredOn: points.at(-1)?.size ?? 0 };
}

/** The step of these settings, after steps of 4, 8, 32, 128 … samples that are made like it. */
export function smallerSteps(train: TrainSettings): { samples: number; train: TrainSettings }[] {
  const { batchSize, accumulate } = train;
  const piece = loadSize(train);
  const of = (wanted: number): TrainSettings => {
    if (wanted >= batchSize) return { ...train, accumulate: Math.floor(wanted / batchSize) };
    if (piece === batchSize) return { ...train, batchSize: wanted, accumulate: 1 };
    const microBatch = Math.min(piece, Math.floor(wanted / 2));
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

/** A trainer that never comes to its end; the memory that it took goes back to the system after it. */
function openTrainer(config: TrainConfig, parts: StandIn): TrainerSetup {
  const setup = createTrainer({ ...config, budget: '1e15samples' }, parts);
  return {
    ...setup,
    [Symbol.dispose]() {
      setup[Symbol.dispose]();
      emptyCache();
    },
  };
}

/** Median of the seconds of a few steps of a phase, as the trainer counts them, after a first one. */
async function stepSeconds(
  config: TrainConfig,
  options: PlanOptions,
  place: number,
): Promise<number> {
  const parts = standIn(config, options, { place, size: loadSize(config.train) });
  using setup = openTrainer(config, parts);
  const { trainer, model } = setup;
  await parts.prepare(model, RECORDS);
  const steps = trainer.run();
  await steps.next();
  const times: number[] = [];
  const start = trainer.spent.seconds;
  while (times.length < 1 || (times.length < MOST && trainer.spent.seconds - start < ENOUGH)) {
    const before = trainer.spent.seconds;
    await steps.next();
    times.push(trainer.spent.seconds - before);
  }
  await steps.return();
  return times.sort((a, b) => a - b)[times.length >> 1] ?? NaN;
}

/** Seconds of encoding every picture of the source before the first step. */
async function preparationSeconds(config: TrainConfig, options: PlanOptions): Promise<number> {
  const most = encodedAtOnce(config.train);
  const parts = standIn(config, options, { place: 0, size: 1 });
  using setup = openTrainer(config, parts);
  const sizes = [4, 8, 32, 128].filter((size) => size < most);
  const { seconds } = await secondsOf([...sizes, most], async (size) => {
    options.onProgress?.(`timing ${size} pictures through the image tower`);
    await parts.prepare(setup.model, size);
    const start = performance.now();
    await parts.prepare(setup.model, size);
    return (performance.now() - start) / 1000;
  });
  return seconds * (options.source.size / most);
}
