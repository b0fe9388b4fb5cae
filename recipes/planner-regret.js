/**
 * Is the planner right? Trains every candidate of a grid for the whole budget, then plans a training, and
 * trains the planner's choice for what planning left: the regret in points of the metric, and how many
 * runs are within the plan's 80 % bands.
 *
 *     node recipes/planner-regret.js --data SPEC --seconds 60 [--pilots 0.1] [--seeds 3] [--repeat 8] [--jobs 1]
 *
 * A run's samples are those that steps on noise promise its model and batch in that time, so that a machine
 * that slows down does not change them, and several may run at a time (`--jobs`); `--part grid`
 * trains the grid alone, so that it can be kept apart from planning, which measures the machine. The
 * grid is `--models` times `--batches` times `--augments`, 28 candidates by default. All have the
 * first seed; those that are the best with it, `--repeat` of them, and the choice have all seeds. Everything
 * is a study (docs/studies.md) in `--out`; finished runs are not repeated.
 */
import './shared/one-sentence.js';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { planCandidates, planRun, planTraining, runStudy } from 'bantam/experimental';
import { mean } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    pilots: { type: 'string', default: '0.1' },
    metric: { type: 'string' },
    validate: { type: 'string', default: 'held-out' },
    models: {
      type: 'string',
      default:
        'ModifiedResNet-Nano-64,ModifiedResNet-Pico-64,ResNet-Nano-64,ConvNeXt-Nano-64,ViT-Nano-16-64,ViT-Pico-8-64,Mixer-Nano-64',
    },
    batches: { type: 'string', default: '64,128' },
    augments: { type: 'string', default: 'none,photo' },
    seeds: { type: 'string', default: '3' },
    repeat: { type: 'string', default: '8' },
    jobs: { type: 'string', default: '1' },
    part: { type: 'string', default: 'all' },
    out: { type: 'string', default: 'runs/planner-regret' },
  },
});
if (values.data === undefined) throw new Error('Name the data with --data SPEC.');
if (!['all', 'grid'].includes(values.part)) throw new Error('--part is all or grid.');
const least = { seconds: 1, pilots: 0, seeds: 1, repeat: 1, jobs: 1 };
for (const [name, value] of Object.entries(least)) {
  if (Number(values[name]) >= value) continue;
  throw new Error(`--${name} must be a number of at least ${value}, and is "${values[name]}".`);
}

const { out } = values;
const seconds = Number(values.seconds);
const options = {
  data: values.data,
  budget: `${values.seconds}s`,
  pilots: Number(values.pilots),
  metric: values.metric,
  validate: values.validate,
  models: values.models.split(','),
};
const say = (event) => {
  if (event.kind === 'finished') console.error(`${event.arm}, seed ${event.seed}: done`);
  else if (event.kind === 'failed') console.error(`${event.arm}: failed. ${event.message}`);
  else if (event.kind === 'stage') console.error(event.message);
};

mkdirSync(out, { recursive: true });
const { data, candidates } = await planCandidates(options, join(out, 'data'));
const { metric } = data.candidateFacts;
const batches = values.batches.split(',').map(Number);
const augments = values.augments.split(',');
for (const [name, wanted] of Object.entries({ batch: batches, augment: augments })) {
  const known = new Set(candidates.map((candidate) => candidate[name]));
  const unknown = wanted.find((value) => !known.has(value));
  if (unknown === undefined) continue;
  throw new Error(
    `No candidate has the ${name} ${unknown}; on these data there are ${[...known].join(', ')}.`,
  );
}
/** @type {Set<string>} */
const seen = new Set();
const grid = candidates.filter(({ batch, augment, strategy, preset }) => {
  const name = [preset, batch, augment].join();
  const isNew = !seen.has(name);
  const isWanted = batches.includes(batch) && augments.includes(augment) && strategy === 'clip';
  if (isWanted) seen.add(name);
  return isWanted && isNew;
});

const rateName = ({ model, batch }) => `${model}, batch ${batch}`;
/**
 * Samples per second by model and batch, measured once.
 *
 * @type {Record<string, number>}
 */
const rates = {};
const ratesFile = join(out, 'rates.json');
if (existsSync(ratesFile)) Object.assign(rates, JSON.parse(readFileSync(ratesFile, 'utf8')));
for (const candidate of grid) {
  const { options: run } = candidate;
  const name = rateName(candidate);
  if (rates[name] !== undefined) continue;
  const { time } = await planRun({
    ...run,
    data: data.train,
    budget: '1h',
    validation: { data: 'none' },
  });
  if (time === null) throw new Error(`${name} does not fit the memory.`);
  rates[name] = time.rate;
  console.error(`${name}: ${time.rate.toFixed(0)} samples/s`);
  writeFileSync(`${ratesFile}.new`, JSON.stringify(rates, null, 1));
  renameSync(`${ratesFile}.new`, ratesFile);
}
const samplesOf = (candidate, time) =>
  candidate.batch * Math.max(1, Math.floor((rates[rateName(candidate)] * time) / candidate.batch));

const column = `validation, ${metric}`;
const control = { processes: Number(values.jobs), onEvent: say };
/** Trains candidates, each with a number of samples; rows of runs by name. */
const trainAll = async (name, arms, seeds) => {
  const { arms: trained, failures } = await runStudy(
    {
      name,
      data: data.train,
      seeds,
      grids: arms.map(({ candidate, samples }) => ({
        name: candidate.name,
        axes: { variants: [{ name: candidate.name, run: candidate.options }] },
        budget: [`${samples}samples`],
      })),
      measure: [{ name: 'validation', data: data.validation.data, metrics: [metric] }],
      keep: 'results',
    },
    { ...control, out: join(out, name) },
  );
  const [failure] = failures;
  if (failure !== undefined) throw new Error(`${failure.arm} failed: ${failure.message}`);
  return new Map(
    trained.map((arm) => [arm.grid, arm.rows.map(({ metrics }) => metrics[column].value)]),
  );
};
const whole = grid.map((candidate) => ({ candidate, samples: samplesOf(candidate, seconds) }));
const results = await trainAll('grid', whole, [0]);
const others = Array.from({ length: Number(values.seeds) - 1 }, (_, i) => i + 1);
const best = [...results]
  .sort(([, a], [, b]) => mean(b) - mean(a))
  .slice(0, Number(values.repeat))
  .map(([name]) => name);
if (others.length > 0) {
  const repeated = whole.filter(({ candidate }) => best.includes(candidate.name));
  for (const [name, more] of await trainAll('repeats', repeated, others)) {
    results.get(name).push(...more);
  }
}
if (values.part === 'grid') process.exit();

const began = performance.now();
const plan = await planTraining(options, { out: join(out, 'plan'), onEvent: say });
const planned = (performance.now() - began) / 1000;
const [choice] = plan.choices;
const chosen = candidates.find(({ name }) => name === choice.name);
// As fast as in the grid, if it is of the grid.
const isOfGrid = rates[rateName(chosen)] !== undefined;
const samples = isOfGrid ? samplesOf(chosen, choice.seconds) : choice.samples;
const own = await trainAll('choice', [{ candidate: chosen, samples }], [0, ...others]);

const percent = (value) => (100 * value).toFixed(1).padStart(5);
console.log(`measured (seeds)  predicted   80 % band        ${metric}`);
let [held, runs] = [0, 0];
for (const [name, reached] of [...results].sort(([, a], [, b]) => mean(b) - mean(a))) {
  const forecast = plan.forecasts.find((one) => one.name === name)?.whole;
  if (forecast === undefined) continue;
  const [low, high] = forecast.band;
  const inside = reached.filter((value) => low <= value && value <= high).length;
  held += inside;
  runs += reached.length;
  console.log(
    `${percent(mean(reached))} % (${reached.length})        ${percent(forecast.value)} %   ${percent(low)} to ${percent(high)}  ${inside === reached.length ? ' ' : '*'} ${name}`,
  );
}
const [first] = best.toSorted((a, b) => mean(results.get(b)) - mean(results.get(a)));
const reached = mean(own.get(choice.name));
const [low, high] = choice.predicted.band;
console.log(`
planning took ${planned.toFixed(1)} s, the run has ${choice.seconds.toFixed(1)} s of ${seconds} s
choice: ${choice.name}, ${samples} samples: ${percent(reached)} %, predicted ${percent(choice.predicted.value)} % (${percent(low)} to ${percent(high)})
the same without planning: ${results.has(choice.name) ? `${percent(mean(results.get(choice.name)))} %` : 'not of the grid'}
best of the grid: ${first}: ${percent(mean(results.get(first)))} %
regret, planning included: ${(100 * (mean(results.get(first)) - reached)).toFixed(1)} points
runs within the 80 % bands: ${held} of ${runs}`);
