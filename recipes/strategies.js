/**
 * Which strategy gives the best model for a given time? Trains the same small model with every
 * strategy and several seeds, evaluates it, and prints a table of means and standard deviations.
 *
 *     node recipes/strategies.js --data emoji [--recipe slip]… [--seeds 3] [--samples 36000] [--out runs/strategies]
 *     node recipes/strategies.js --data photos --photos DIR
 *
 * `photos` takes a folder with one folder of pictures per class, named as CIFAR-10's; horses and
 * trucks are held out. `clip` sees `--samples` samples; every other strategy as many as take the same
 * time, by its speed beside clip's: short runs of both in turn, one thread each, before anything is
 * trained. So other work on the machine does not change the outcome. Runs that are there are not
 * repeated. `--rounds` is how often each speed is measured; measure on an idle machine.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  inLanes,
  mean,
  median,
  readRows,
  runBantam,
  settingArgs,
  spread,
  threadsEach,
} from './shared/runs.js';
import { photoData } from './shared/photos.js';
import clip from './strategies/clip.js';
import clipDa from './strategies/clip-da.js';
import clipa from './strategies/clipa.js';
import fastclip from './strategies/fastclip.js';
import flip from './strategies/flip.js';
import lit from './strategies/lit.js';
import siglip from './strategies/siglip.js';
import slip from './strategies/slip.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: 'emoji' },
    photos: { type: 'string' },
    seeds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    samples: { type: 'string', default: '36000' },
    out: { type: 'string', default: 'runs/strategies' },
    recipe: { type: 'string', multiple: true },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});
const out = join(values.out, values.data);
const batchSize = 128;

/** Settings that all runs share, on top of {@link datasets}. */
const shared = {
  'train.batchSize': String(batchSize),
  'train.lr': '6e-4',
  'train.workers': '1',
  'train.checkpointMinutes': '60',
  'tokenizer.contextLength': '16',
};

/** What is compared, by the file in `strategies/`: LiT last, for it starts from towers of `clip`. */
const recipes = { clip, 'clip-da': clipDa, slip, flip, clipa, siglip, fastclip, lit };

/** The data sets: what a model trains on, and what its columns in the table are. */
const datasets = {
  emoji: () => ({
    train: 'emoji?split=train',
    model: { name: 'ViT-Nano-16-64' },
    columns: [
      ['subgroup, seen style', 'emoji?style=twemoji&skin=default', 'zero-shot', 'acc1'],
      ['subgroup, unseen style', 'emoji?style=fluent-3d&skin=default', 'zero-shot', 'acc1'],
      ['picture for a name, R@10, seen style', 'emoji?style=twemoji&skin=default', 'retrieval', 'image_retrieval_recall@10'], // prettier-ignore
      ['R@10, unseen style', 'emoji?style=fluent-3d&skin=default', 'retrieval', 'image_retrieval_recall@10'], // prettier-ignore
    ],
  }),
  photos: () => {
    const { train, test, unseen } = photoData(values.photos, out);
    return {
      train,
      model: {
        name: 'ViT-Nano-16-64',
        'model.vision.imageSize': '32',
        'model.vision.patchSize': '4',
        'model.vision.width': '192',
        'model.vision.layers': '4',
      },
      columns: [
        ['class, new photographs', test, 'zero-shot', 'acc1'],
        ['animal or vehicle, unseen classes', unseen, 'zero-shot', 'acc1'],
      ],
    };
  },
};

mkdirSync(out, { recursive: true });
const { train, model, columns } = datasets[values.data]();
const chosen = (values.recipe ?? Object.keys(recipes)).flatMap((name) => recipes[name]);
const names = chosen.map(({ name }) => name);
const seeds = Array.from({ length: Number(values.seeds) }, (_, seed) => seed);

/**
 * The arguments of one training.
 *
 * @param {string} name
 * @param {{ run: string, budget: string, seed: number }} options
 */
function trainArgs(name, { run, budget, seed }) {
  const { strategy, settings } = chosen.find((one) => one.name === name);
  const { name: preset, ...modelSettings } = model;
  const args = ['train', '--model', preset, '--data', train, '--out', run];
  args.push('--budget', budget, '--seed', String(seed), '--strategy', strategy);
  args.push(...settingArgs({ ...shared, ...modelSettings, ...settings }));
  if (strategy === 'lit') {
    const tower = join(runOf('clip', seed), 'model');
    args.push('--init-image', tower, '--tokenizer', tower);
  }
  return args;
}

/**
 * The folder of a run.
 *
 * @param {string} name
 * @param {number | string} seed
 */
function runOf(name, seed) {
  return join(out, `${name.replaceAll(/[^a-z0-9]+/gi, '-')}-${seed}`);
}

/** Seconds per sample of a strategy, its first steps left out. */
async function secondsPerSample(name) {
  const run = runOf(name, 'speed');
  rmSync(run, { recursive: true, force: true });
  const budget = `${batchSize * 30}samples`;
  const { status } = await runBantam(trainArgs(name, { run, budget, seed: 0 }), {
    log: `${run}.log`,
  });
  if (status !== 0) throw new Error(`${name} failed, see ${run}.log`);
  const rows = readRows(join(run, 'metrics.jsonl'));
  rmSync(run, { recursive: true });
  const [warm, last] = [rows[4], rows.at(-1)];
  return (last.seconds - warm.seconds) / (last.samples - warm.samples);
}

/** Time per sample of each strategy as a ratio to clip's, measured in turn. */
async function measureCost() {
  const file = join(out, 'cost.json');
  const known = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { clip: 1 };
  for (const name of names) {
    if (known[name] !== undefined) continue;
    const ratios = [];
    for (let round = 0; round < Number(values.rounds); round++) {
      const plain = await secondsPerSample('clip');
      ratios.push((await secondsPerSample(name)) / plain);
    }
    known[name] = median(ratios);
    console.error(`${name}: ${ratios.map((x) => x.toFixed(2)).join(', ')} times clip's time`);
    writeFileSync(file, `${JSON.stringify(known, null, 2)}\n`);
  }
  return known;
}

/** Trains and evaluates one strategy with one seed. */
async function trainOne({ name, seed }, cost) {
  const run = runOf(name, seed);
  const threads = threadsEach(Number(values.jobs));
  const samples = Math.round(Number(values.samples) / cost[name] / batchSize) * batchSize;
  if (!existsSync(join(run, 'model'))) {
    rmSync(run, { recursive: true, force: true });
    const args = trainArgs(name, { run, budget: `${samples}samples`, seed });
    const { status } = await runBantam(args, { log: `${run}.log`, threads });
    if (status !== 0) throw new Error(`${name} failed, see ${run}.log`);
  }
  if (!existsSync(join(run, 'evaluation.json'))) {
    const specs = [...new Set(columns.map(([, spec]) => spec))];
    const args = ['eval', '--model', join(run, 'model'), '--data', ...specs, '--json'];
    const { status, output } = await runBantam(args, { log: `${run}.eval.log`, threads });
    if (status !== 0) throw new Error(`The evaluation of ${run} failed, see ${run}.eval.log`);
    writeFileSync(join(run, 'evaluation.json'), output);
  }
  console.error(`${name}, seed ${seed}: done`);
}

/** The figures of one run, by column. */
function figures(run) {
  const results = JSON.parse(readFileSync(join(run, 'evaluation.json'), 'utf8'));
  return columns.map(([, spec, task, metric]) => {
    const { metrics, chance } = results.find((one) => one.spec === spec && one.task === task);
    return { value: 100 * metrics[metric], chance: 100 * chance[metric] };
  });
}

/** @param {readonly string[]} wanted */
const tasks = (wanted) => wanted.flatMap((name) => seeds.map((seed) => ({ name, seed })));
const lanes = (wanted, cost) =>
  inLanes(tasks(wanted), Number(values.jobs), (task) => trainOne(task, cost));

// LiT starts from towers of the clip runs.
if (names.includes('clip')) await lanes(['clip'], { clip: 1 });
const cost = await measureCost();
await lanes(names, cost);

const all = names.map((name) => ({
  name,
  rows: seeds.map((seed) => figures(runOf(name, seed))),
  samples: readRows(join(runOf(name, 0), 'metrics.jsonl')).at(-1)?.samples ?? 0,
}));
console.log(`| strategy | time per sample | samples | ${columns.map(([title]) => title).join(' | ')} |`); // prettier-ignore
console.log(`| --- | ---: | ---: |${columns.map(() => ' ---: |').join('')}`);
for (const { name, rows, samples } of all) {
  const cells = columns.map((_, i) => {
    const numbers = rows.map((row) => row[i].value);
    return `${mean(numbers).toFixed(1)} ± ${spread(numbers).toFixed(1)} %`;
  });
  console.log(`| ${name} | ${cost[name].toFixed(2)} | ${samples} | ${cells.join(' | ')} |`);
}
const chances = all[0]?.rows[0]?.map(({ chance }) => `${chance.toFixed(1)} %`) ?? [];
console.log(`| chance | | | ${chances.join(' | ')} |`);
