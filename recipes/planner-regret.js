/**
 * Is the planner right? Plans a training, then trains every candidate of a grid for the whole budget,
 * and the planner's choice for what its pilots left: the regret in points of the metric, and how many
 * runs are within the plan's 80 % bands.
 *
 *     node recipes/planner-regret.js --data SPEC --seconds 60 [--pilots 0.3] [--seeds 1] [--jobs 1]
 *
 * Budgets of the grid's runs are the samples that the plan gives each candidate in that time, so that a
 * machine that slows down does not change them, and several may run at a time. Everything is a study
 * (docs/studies.md) in `--out`; finished runs are not repeated. The grid is `--models` times
 * `--batches` times `--augments`, 24 candidates by default.
 */
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { planCandidates, planTraining, runStudy } from 'bantam/experimental';

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    pilots: { type: 'string', default: '0.3' },
    metric: { type: 'string' },
    validate: { type: 'string', default: 'held-out' },
    models: {
      type: 'string',
      default:
        'ModifiedResNet-Nano-64,ResNet-Nano-64,ConvNeXt-Nano-64,ViT-Nano-16-64,ViT-Pico-8-64,Mixer-Nano-64',
    },
    batches: { type: 'string', default: '64,128' },
    augments: { type: 'string', default: 'none,photo' },
    seeds: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
    out: { type: 'string', default: 'runs/planner-regret' },
  },
});
if (values.data === undefined) throw new Error('Name the data with --data SPEC.');

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

const began = performance.now();
const plan = await planTraining(options, { out: `${values.out}/plan`, onEvent: say });
const planned = (performance.now() - began) / 1000;
const { candidates } = await planCandidates(options, `${values.out}/plan/data`);
const batches = values.batches.split(',').map(Number);
const augments = values.augments.split(',');
/** @type {Set<string>} */
const seen = new Set();
const grid = candidates.filter(({ batch, augment, strategy, preset }) => {
  const name = [preset, batch, augment].join();
  const isNew = !seen.has(name);
  const isWanted = batches.includes(batch) && augments.includes(augment) && strategy === 'clip';
  if (isWanted) seen.add(name);
  return isWanted && isNew;
});
const [choice] = plan.choices;
const forecastOf = (name) => plan.forecasts.find((one) => one.name === name);

/** A study of candidates, each with a number of samples. */
const study = (name, arms) => ({
  name,
  data: plan.choices[0].run.data,
  seeds: Array.from({ length: Number(values.seeds) }, (_, seed) => seed),
  grids: arms.map(({ candidate, samples }) => ({
    name: candidate.name,
    axes: { variants: [{ name: candidate.name, run: candidate.options }] },
    budget: [`${samples}samples`],
  })),
  measure: [{ name: 'validation', data: plan.validation.data, metrics: [plan.metric] }],
  keep: 'results',
});
const control = { processes: Number(values.jobs), onEvent: say };
const chosen = candidates.find(({ name }) => name === choice.name);
const own = await runStudy(study('choice', [{ candidate: chosen, samples: choice.samples }]), {
  ...control,
  out: `${values.out}/choice`,
});
const whole = await runStudy(
  study(
    'grid',
    grid.flatMap((candidate) => {
      const forecast = forecastOf(candidate.name);
      return forecast === undefined ? [] : [{ candidate, samples: forecast.whole.samples }];
    }),
  ),
  { ...control, out: `${values.out}/grid` },
);

const column = `validation, ${plan.metric}`;
const percent = (value) => (100 * value).toFixed(1).padStart(5);
const rows = whole.arms
  .map(({ grid: name, metrics, rows: runs }) => {
    const { whole: forecast, pilots } = forecastOf(name);
    const value = metrics[column].mean;
    const [low, high] = forecast.band;
    const held = runs.filter(
      ({ metrics: one }) => low <= one[column].value && one[column].value <= high,
    ).length;
    return { name, value, forecast, pilots, held, runs: runs.length, low, high };
  })
  .sort((a, b) => b.value - a.value);
console.log(`measured  predicted   80 % band        pilots  ${plan.metric}`);
for (const { name, value, forecast, pilots, low, high, held } of rows) {
  console.log(
    `${percent(value)} %   ${percent(forecast.value)} %   ${percent(low)} to ${percent(high)} ${held > 0 ? ' ' : '*'}  ${pilots}  ${name}`,
  );
}
const best = rows[0];
const reached = own.arms[0].metrics[column].mean;
const [low, high] = choice.predicted.band;
const count = (list, of) => list.reduce((sum, one) => sum + of(one), 0);
const piloted = rows.filter(({ pilots }) => pilots > 0);
console.log(`
planning took ${planned.toFixed(0)} s of ${values.seconds} s
choice: ${choice.name}, ${choice.samples} samples: ${percent(reached)} %, predicted ${percent(choice.predicted.value)} % (${percent(low)} to ${percent(high)})
best of the grid: ${best.name}: ${percent(best.value)} %
regret, pilots included: ${(100 * (best.value - reached)).toFixed(1)} points
runs within the 80 % bands: ${count(rows, ({ held }) => held)} of ${count(rows, ({ runs }) => runs)}; of piloted candidates ${count(piloted, ({ held }) => held)} of ${count(piloted, ({ runs }) => runs)}`);
