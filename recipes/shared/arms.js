/** Trains the same small model on several data and budgets, with several seeds, and compares. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { studentInterval } from 'bantam/experimental';
import { evaluateOnce, figuresOf, runOf } from './equal-time.js';
import { mean, runBantam, runParallel, settingArgs, threadsEach } from './runs.js';

/**
 * A training of a comparison.
 *
 * @typedef {object} Arm
 * @property {string} name
 * @property {string} data specification of the training data
 * @property {number} samples budget, which is rounded to whole batches
 * @property {readonly string[]} [args] more arguments of `bantam train`
 */

/**
 * @typedef {object} ArmOptions
 * @property {string} out folder of the runs; those that are there are not repeated
 * @property {string} [model] preset; left out where the arms start from a model
 * @property {object} settings settings of all runs
 * @property {readonly import('./equal-time.js').Column[]} columns
 * @property {number} seeds
 * @property {number} batchSize
 * @property {number} jobs runs at a time
 */

/** Half of the 95 % interval of a mean of several values. @param {readonly number[]} values */
export function halfInterval(values) {
  const [low, high] = studentInterval(values) ?? [NaN, NaN];
  return (high - low) / 2;
}

/** The budget of an arm in whole batches. */
function wholeBatches({ samples }, batchSize) {
  return Math.max(1, Math.round(samples / batchSize)) * batchSize;
}

/**
 * Trains and evaluates an arm with one seed, unless that was done.
 *
 * @param {Arm} arm
 * @param {number} seed
 * @param {ArmOptions} options
 */
export async function trainArm(arm, seed, { out, model, settings, columns, batchSize, jobs }) {
  mkdirSync(out, { recursive: true });
  const run = runOf(out, arm.name, seed);
  const threads = threadsEach(jobs);
  if (!existsSync(join(run, 'model'))) {
    rmSync(run, { recursive: true, force: true });
    const samples = wholeBatches(arm, batchSize);
    const args = ['train', '--data', arm.data, '--out', run, ...(arm.args ?? [])];
    if (model !== undefined) args.push('--model', model);
    args.push('--budget', `${samples}samples`, '--seed', String(seed), '--validate', 'none');
    args.push(...settingArgs({ train: { batchSize } }, settings));
    const { status, cpuSeconds } = await runBantam(args, { log: `${run}.log`, threads });
    if (status !== 0) throw new Error(`${arm.name} failed, see ${run}.log`);
    console.error(
      `${arm.name}, seed ${seed}: ${samples} samples in ${cpuSeconds.toFixed(0)} CPU s`,
    );
  }
  await evaluateOnce(columns, run, { threads });
  return run;
}

/**
 * Trains all arms with all seeds.
 *
 * @param {readonly Arm[]} arms
 * @param {ArmOptions} options
 */
export async function trainArms(arms, options) {
  const tasks = Array.from({ length: options.seeds }, (_, seed) =>
    arms.map((arm) => ({ arm, seed })),
  ).flat();
  await runParallel(tasks, options.jobs, async ({ arm, seed }) => {
    await trainArm(arm, seed, options);
  });
}

/**
 * Means of the seeds with their 95 % intervals, in per cent, as a Markdown table; the best of each
 * column in bold.
 *
 * @param {readonly Arm[]} arms
 * @param {ArmOptions} options
 */
export function armTable(arms, { out, columns, seeds, batchSize }) {
  const figures = arms.map(({ name }) =>
    columns.map((_, i) =>
      Array.from(
        { length: seeds },
        (_, seed) => figuresOf(columns, runOf(out, name, seed))[i].value,
      ),
    ),
  );
  const best = columns.map((_, i) => Math.max(...figures.map((row) => mean(row[i]))));
  const rows = arms.map((one, arm) => {
    const cells = figures[arm].map((values, i) => {
      const value = mean(values).toFixed(1);
      const around = seeds > 1 ? ` ± ${halfInterval(values).toFixed(1)}` : '';
      return `${mean(values) === best[i] ? `**${value}**` : value}${around}`;
    });
    return `| ${[one.name, wholeBatches(one, batchSize), ...cells].join(' | ')} |`;
  });
  const [first] = arms;
  const chance = figuresOf(columns, runOf(out, first.name, 0)).map((one) => one.chance.toFixed(1));
  return [
    `|  | samples | ${columns.map(([title]) => title).join(' | ')} |`,
    `| --- | ---: |${columns.map(() => ' ---: |').join('')}`,
    ...rows,
    `| chance | | ${chance.join(' | ')} |`,
  ].join('\n');
}
