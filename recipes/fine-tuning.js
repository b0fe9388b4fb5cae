/**
 * What does fine-tuning gain on its own data, and what does it lose elsewhere? Trains a small model on Tiny
 * ImageNet, fine-tunes it on the photographs of PACS (Li et al. 2017) in several ways, and measures
 * accuracy on held-out photographs, on PACS' other domains, and on Tiny ImageNet. Then measures the
 * models between the old and the new one (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903) and
 * soups of the new ones (Wortsman et al. 2022, arXiv 2203.05482).
 *
 *     node recipes/fine-tuning.js --tiny DIR --pacs DIR [--seeds 3] [--epochs 8] [--lr 1e-4] [--lora-lr 2e-3] [--factors 0.2,0.4,0.6,0.8] [--out runs/fine-tuning]
 *
 * `--tiny` has one folder of images per class, `--pacs` the folders photo, art-painting, cartoon and
 * sketch with one folder per class each. All splits are hashes of keys: 90 % of Tiny ImageNet train
 * the first model, half of the photographs the others; factors and soups are chosen on validation
 * parts, all printed values are of test parts. Finished runs are not repeated.
 */
import './shared/one-sentence.js';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openSource } from 'bantam';
import { uniformOfKey } from 'bantam/experimental';
import { armTable, halfInterval, trainArms } from './shared/arms.js';
import { evaluateOnce, figuresOf, runOf } from './shared/equal-time.js';
import { mean, runBantam, settingArgs } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    tiny: { type: 'string' },
    pacs: { type: 'string' },
    model: { type: 'string', default: 'ModifiedResNet-Nano-64' },
    pretraining: { type: 'string', default: '199680' },
    seeds: { type: 'string', default: '3' },
    epochs: { type: 'string', default: '8' },
    lr: { type: 'string', default: '1e-4' },
    factors: { type: 'string', default: '0.2,0.4,0.6,0.8' },
    'lora-lr': { type: 'string', default: '2e-3' },
    out: { type: 'string', default: 'runs/fine-tuning' },
    jobs: { type: 'string', default: '1' },
  },
});
if (values.tiny === undefined || values.pacs === undefined) {
  throw new Error('Name the folders of images with --tiny DIR and --pacs DIR.');
}
const { tiny, pacs, out } = values;
const seeds = Number(values.seeds);
const domains = ['art-painting', 'cartoon', 'sketch'];
mkdirSync(out, { recursive: true });

/**
 * Writes the keys of the parts of a folder of classes; returns their specifications and sizes.
 *
 * @param {string} folder
 * @param {string} name
 * @param {readonly (readonly [part: string, fraction: number])[]} fractions the last takes the rest
 * @returns {Promise<Record<string, { spec: string, size: number }>>}
 */
async function split(folder, name, fractions) {
  const source = await openSource(`folder:${folder}`);
  const parts = new Map(fractions.map(([part]) => [part, []]));
  for (let i = 0; i < source.size; i++) {
    const { key } = source.record(i);
    const u = uniformOfKey(key, { seed: 0, purpose: 'fine-tuning' });
    let end = 0;
    const [part] = fractions.find(([, fraction]) => u < (end += fraction)) ?? fractions.at(-1);
    parts.get(part).push(key);
  }
  const written = [...parts].map(([part, keys]) => {
    const file = join(out, `${name}-${part}.txt`);
    writeFileSync(file, keys.map((key) => `${key}\n`).join(''));
    return [part, { spec: `folder:${folder}?subset=${file}`, size: keys.length }];
  });
  return Object.fromEntries(written);
}

/** Runs a command; returns its JSON. @param {readonly string[]} args @param {string} log */
async function bantam(args, log) {
  const file = join(out, `${log}.log`);
  const { status, output } = await runBantam([...args, '--json'], { log: file });
  if (status !== 0) throw new Error(`bantam ${args.slice(0, 2).join(' ')} failed, see ${file}`);
  return JSON.parse(output);
}

/** The same, unless its JSON is there. @param {readonly string[]} args @param {string} name */
async function once(args, name) {
  const file = join(out, `${name}.json`);
  if (!existsSync(file)) writeFileSync(file, JSON.stringify(await bantam(args, name)));
  return JSON.parse(readFileSync(file, 'utf8'));
}

const general = await split(tiny, 'tiny', [
  ['test', 0.05],
  ['validation', 0.05],
  ['train', 0.9],
]);
const photo = await split(join(pacs, 'photo'), 'photo', [
  ['test', 0.3],
  ['validation', 0.2],
  ['train', 0.5],
]);
const others = await Promise.all(
  domains.map(async (domain) => {
    const parts = await split(join(pacs, domain), domain, [
      ['test', 0.3],
      ['rest', 0.7],
    ]);
    return parts.test.spec;
  }),
);
const classes = { strategy: { loss: { duplicates: 'positives' } } };
const steady = { train: { workers: 1, checkpointMinutes: 60 } };

const before = join(out, 'pretrained');
const base = join(before, 'model');
if (!existsSync(base)) {
  const settings = { train: { batchSize: 128, lr: 6e-4 }, tokenizer: { contextLength: 16 } };
  await bantam(
    [
      ...['train', '--model', values.model, '--data', general.train.spec, '--out', before],
      ...['--budget', `${values.pretraining}samples`, '--seed', '0', '--validate', 'none'],
      ...settingArgs(settings, steady, classes),
    ],
    'pretrained',
  );
}

/** @type {readonly import('./shared/equal-time.js').Column[]} */
const columns = [
  ['photographs', photo.test.spec, 'zero-shot', 'acc1'],
  ...domains.map((domain, i) => [domain, others[i], 'zero-shot', 'acc1']),
  ['Tiny ImageNet', general.test.spec, 'zero-shot', 'acc1'],
];
const from = ['--init', base, '--set', 'train.weightDecay=0.1'];
const init = [...from, '--set', `train.lr=${values.lr}`];
const loraLr = `train.lr=${values['lora-lr']}`;
const data = photo.train.spec;
const samples = Number(values.epochs) * photo.train.size;
const arms = [
  { name: 'all weights', args: init },
  { name: 'layer decay 0.7', args: [...init, '--set', 'train.layerDecay=0.7'] },
  { name: 'LoRA', args: [...from, '--fine-tune', 'lora', '--set', loraLr] },
  { name: 'text frozen', args: [...init, '--freeze', 'text'] },
  { name: 'image frozen', args: [...init, '--freeze', 'image'] },
  { name: 'LP-FT', args: [...init, '--fine-tune', 'lp-ft'] },
].map((arm) => ({ ...arm, data, samples }));
const options = {
  ...{ out, columns, seeds, jobs: Number(values.jobs) },
  ...{ batchSize: 64, settings: { ...steady, ...classes } },
};
await trainArms(arms, options);
await evaluateOnce(columns, before);

console.log(`Before fine-tuning: ${figuresOf(columns, before).map(shown).join(', ')}\n`);
console.log(armTable(arms, options));

/** @param {{ value: number }} figure @param {number} i */
function shown({ value }, i) {
  return `${columns[i][0]} ${value.toFixed(1)} %`;
}

/** Mean of the seeds with its 95 % interval, in per cent. @param {readonly number[]} numbers */
function interval(numbers) {
  const around = numbers.length > 1 ? ` ± ${(100 * halfInterval(numbers)).toFixed(1)}` : '';
  return `${(100 * mean(numbers)).toFixed(1)}${around}`;
}

// WiSE-FT between the first model and each seed of an arm: the factor by validation, the values of the tests.
const tests = ['--own', photo.test.spec, '--other', general.test.spec, ...others];
const choice = ['--own', photo.validation.spec, '--other', general.validation.spec];
for (const { name } of arms.slice(0, 1)) {
  const chosen = [];
  const curves = [];
  for (let seed = 0; seed < seeds; seed++) {
    const run = runOf(out, name, seed);
    const args = ['models', 'interpolate', base, join(run, 'model'), '--factors', values.factors];
    const stem = `wise-${name.replaceAll(/[^a-z0-9]+/gi, '-')}-${seed}`;
    const page = seed === 0 ? ['--report', join(out, `${stem}.html`)] : [];
    chosen.push((await once([...args, ...choice, ...page], `${stem}-choice`)).curve.best);
    curves.push((await once([...args, ...tests], stem)).curve);
  }
  const factors = curves[0].points.map(({ alpha }) => alpha);
  const at = (alpha, column) =>
    curves.map(({ points }) => points.find((one) => one.alpha === alpha).values[column].value);
  const order = [0, 2, 3, 4, 1];
  const row = (title, pick) => `| ${title} | ${order.map((i) => interval(pick(i))).join(' | ')} |`;
  const best = (column) =>
    curves.map(
      ({ points }, seed) => points.find((one) => one.alpha === chosen[seed]).values[column].value,
    );
  console.log(`\nWiSE-FT, ${name}; factors chosen on validation: ${chosen.join(', ')}\n`);
  console.log(`| alpha | ${columns.map(([title]) => title).join(' | ')} |`);
  console.log(`| --- |${columns.map(() => ' ---: |').join('')}`);
  for (const alpha of factors) console.log(row(alpha, (i) => at(alpha, i)));
  console.log(row('chosen', best));
}

// Soups: the seeds of one arm, and greedily of all arms that started from the first model.
const models = (wanted) =>
  wanted.flatMap(({ name }) =>
    Array.from({ length: seeds }, (_, seed) => join(runOf(out, name, seed), 'model')),
  );
const soups = [
  ['uniform soup of the seeds', models(arms.slice(0, 1)), []],
  ['uniform soup of all', models(arms), []],
  ['greedy soup of all', models(arms), ['--greedy', '--data', photo.validation.spec]],
];
console.log(`\n| soup | models | ${columns.map(([title]) => title).join(' | ')} |`);
console.log(`| --- | ---: |${columns.map(() => ' ---: |').join('')}`);
for (const [name, ingredients, more] of soups) {
  // One seed alone makes no soup of seeds.
  if (ingredients.length < 2) continue;
  const run = runOf(out, name, 'soup');
  const args = ['models', 'soup', ...ingredients, '--out', join(run, 'model'), ...more];
  const { average } = await once(args, `${name.replaceAll(' ', '-')}`);
  await evaluateOnce(columns, run);
  const figures = figuresOf(columns, run).map(({ value }) => value.toFixed(1));
  console.log(`| ${name} | ${average.models.length} | ${figures.join(' | ')} |`);
}
