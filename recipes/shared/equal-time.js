/** Trains candidates for the time that the first of them takes, with several seeds, and compares. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runParallel, mean, median, readRows, runBantam, spread, threadsEach } from './runs.js';

/**
 * One row of a comparison.
 *
 * @typedef {object} Candidate
 * @property {string} name
 * @property {(seed: number) => readonly string[]} args of `bantam train`, but for --out, --budget and --seed
 */

/**
 * One figure of a comparison: title, data, task and metric of `bantam eval`.
 *
 * @typedef {readonly [title: string, spec: string, task: string, metric: string]} Column
 */

/**
 * @typedef {object} Comparison
 * @property {string} out folder of the runs; those that are there are not repeated
 * @property {readonly Candidate[]} candidates
 * @property {Candidate} reference whose time all have, and which is trained first
 * @property {readonly Column[]} columns
 * @property {number} seeds
 * @property {number} samples that the reference sees
 * @property {number} batchSize
 * @property {number} repetitions how often each candidate's speed is measured beside the reference's
 * @property {number} jobs runs at a time
 */

/**
 * The folder of a run.
 *
 * @param {string} out
 * @param {string} name
 * @param {number | string} seed
 */
export function runOf(out, name, seed) {
  return join(out, `${name.replaceAll(/[^a-z0-9]+/gi, '-')}-${seed}`);
}

/**
 * The reference sees `samples` samples, every other candidate as many as take the same CPU time,
 * data threads included: measured on short runs of both alternately, one thread each, before anything but
 * the reference is trained. So other work on the machine changes the outcome little.
 *
 * @param {Comparison} comparison
 * @returns {Promise<string>} a table of means and standard deviations, Markdown
 */
export async function compareAtEqualTime(comparison) {
  const { out, candidates, reference, columns, seeds } = comparison;
  mkdirSync(out, { recursive: true });
  const trainAll = (wanted, cost) => {
    const tasks = wanted.flatMap((one) =>
      Array.from({ length: seeds }, (_, seed) => ({ candidate: one, seed })),
    );
    return runParallel(tasks, comparison.jobs, (task) => trainOne(comparison, task, cost));
  };
  // Others may start from what the reference learned.
  await trainAll([reference], { [reference.name]: 1 });
  const cost = await measureCost(comparison);
  await trainAll(candidates, cost);

  const rows = candidates.map(({ name }) => {
    const figures = Array.from({ length: seeds }, (_, seed) =>
      figuresOf(columns, runOf(out, name, seed)),
    );
    const cells = columns.map((_, i) => {
      const numbers = figures.map((row) => row[i].value);
      const around = seeds > 1 ? ` ± ${spread(numbers).toFixed(1)}` : '';
      return `${mean(numbers).toFixed(1)}${around} %`;
    });
    const samples = readRows(join(runOf(out, name, 0), 'metrics.jsonl')).at(-1)?.samples ?? 0;
    return `| ${[name, cost[name].toFixed(2), samples, ...cells].join(' | ')} |`;
  });
  const chances = figuresOf(columns, runOf(out, reference.name, 0)).map(
    ({ chance }) => `${chance.toFixed(1)} %`,
  );
  return [
    `|  | time per sample | samples | ${columns.map(([title]) => title).join(' | ')} |`,
    `| --- | ---: | ---: |${columns.map(() => ' ---: |').join('')}`,
    ...rows,
    `| chance | | | ${chances.join(' | ')} |`,
  ].join('\n');
}

/** CPU seconds of a training of so many steps, all of its threads together. */
async function cpuSeconds({ out, batchSize }, { name, args }, { steps, repetition }) {
  const run = runOf(out, name, `speed-${repetition}`);
  rmSync(run, { recursive: true, force: true });
  const budget = `${batchSize * steps}samples`;
  const { status, cpuSeconds: seconds } = await runBantam(
    ['train', ...args(0), '--out', run, '--budget', budget, '--seed', '0', '--validate', 'none'],
    { log: `${run}.log` },
  );
  if (status !== 0) throw new Error(`${name} failed, see ${run}.log`);
  rmSync(run, { recursive: true });
  return seconds;
}

/** CPU seconds of twenty steps, without what goes before and after them. */
async function stepCost(comparison, candidate, repetition) {
  const short = await cpuSeconds(comparison, candidate, { steps: 5, repetition });
  return (await cpuSeconds(comparison, candidate, { steps: 25, repetition })) - short;
}

/**
 * Time per sample of each candidate as a ratio to the reference's, medians over the repetitions. Measured
 * with as many at a time as are trained at a time later, since cores with common caches and arithmetic
 * slow each other down.
 */
async function measureCost(comparison) {
  const { out, candidates, reference, repetitions, jobs } = comparison;
  const file = join(out, 'cost.json');
  const known = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { [reference.name]: 1 };
  const unknown = candidates.filter(({ name }) => known[name] === undefined);
  if (unknown.length === 0) return known;
  const seconds = new Map([reference, ...unknown].map((candidate) => [candidate, []]));
  const tasks = Array.from({ length: repetitions }, (_, repetition) =>
    [...seconds.keys()].map((candidate) => ({ candidate, repetition })),
  ).flat();
  await runParallel(tasks, jobs, async ({ candidate, repetition }) => {
    seconds.get(candidate).push(await stepCost(comparison, candidate, repetition));
  });
  const plain = median(seconds.get(reference));
  for (const [{ name }, own] of seconds) {
    known[name] = median(own) / plain;
    console.error(`${name}: ${own.map((each) => each.toFixed(1)).join(', ')} s for twenty steps`);
  }
  writeFileSync(file, `${JSON.stringify(known, null, 2)}\n`);
  return known;
}

/** Trains and evaluates one candidate with one seed. */
async function trainOne({ out, columns, samples, batchSize, jobs }, { candidate, seed }, cost) {
  const { name, args } = candidate;
  const run = runOf(out, name, seed);
  const threads = threadsEach(jobs);
  if (!existsSync(join(run, 'model'))) {
    rmSync(run, { recursive: true, force: true });
    const budget = `${Math.round(samples / cost[name] / batchSize) * batchSize}samples`;
    const { status } = await runBantam(
      [
        'train',
        ...args(seed),
        '--out',
        run,
        '--budget',
        budget,
        '--seed',
        String(seed),
        '--validate',
        'none',
      ],
      { log: `${run}.log`, threads },
    );
    if (status !== 0) throw new Error(`${name} failed, see ${run}.log`);
  }
  await evaluateOnce(columns, run, { threads });
  console.error(`${name}, seed ${seed}: done`);
}

/**
 * Evaluates the model of a run, unless that was done.
 *
 * @param {readonly Column[]} columns
 * @param {string} run folder with `model`
 * @param {{ threads?: number }} [options]
 */
export async function evaluateOnce(columns, run, options = {}) {
  if (existsSync(join(run, 'evaluation.json'))) return;
  const log = `${run}.eval.log`;
  const specs = [...new Set(columns.map(([, spec]) => spec))];
  const args = ['eval', '--model', join(run, 'model'), '--data', ...specs, '--json'];
  const { status, output } = await runBantam(args, { log, ...options });
  if (status !== 0) throw new Error(`The evaluation of ${run} failed, see ${log}`);
  writeFileSync(join(run, 'evaluation.json'), output);
}

/**
 * The figures of an evaluated run, by column, in per cent.
 *
 * @param {readonly Column[]} columns
 * @param {string} run
 * @returns {{ value: number, chance: number }[]}
 */
export function figuresOf(columns, run) {
  const results = JSON.parse(readFileSync(join(run, 'evaluation.json'), 'utf8'));
  return columns.map(([, spec, task, metric]) => {
    const { metrics, chance } = results.find((one) => one.spec === spec && one.task === task);
    return { value: 100 * metrics[metric], chance: 100 * chance[metric] };
  });
}
