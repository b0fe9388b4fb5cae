/**
 * SiCLIP, the whole way on one computer (Liu 2024): a teacher, a smaller student of simplified blocks
 * that inherits what both have, distillation in stages, pair matching, captions that a captioner of
 * your own writes, and the comparison of them all at equal time.
 *
 *     node recipes/siclip.js [--samples 32000] [--teacher-samples 192000] [--seeds 3] [--hours 3] [--out runs/siclip]
 *
 * The data are the emoji. Finished steps in `--out` are not repeated, so an interrupted recipe
 * resumes. Constants that the paper does not publish are ours: see `stages`. The results
 * are in docs/strategies.md.
 */
import './shared/one-sentence.js';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { emojiColumns, emojiData } from './shared/emoji.js';
import { compareAtEqualTime, evaluateOnce, figuresOf, runOf } from './shared/equal-time.js';
import { inferenceRates } from './shared/inference-rates.js';
import { runParallel, runBantam, settingArgs } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    samples: { type: 'string', default: '32000' },
    'teacher-samples': { type: 'string', default: '192000' },
    // Number of images with synthetic captions, from the first. Default all.
    captioned: { type: 'string' },
    seeds: { type: 'string', default: '3' },
    repetitions: { type: 'string', default: '3' },
    // Limit of the planned time of all trainings. Default none.
    hours: { type: 'string' },
    out: { type: 'string', default: 'runs/siclip' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});
const { out } = values;
const jobs = Number(values.jobs);
const batchSize = 128;
const teacher = { preset: 'MobileCLIP-Nano-64', run: join(out, 'teacher'), args: [] };
const captioner = {
  preset: 'coca_ViT-Nano-16-64',
  run: join(out, 'captioner'),
  args: ['--strategy', 'coca'],
};
const student = { preset: 'SiCLIP-Nano-64', inherited: join(out, 'inherited') };
const captions = join(out, 'captions.jsonl');
const reinforced = join(out, 'reinforced');

/** Settings that all runs share. */
const shared = {
  'train.batchSize': String(batchSize),
  'train.lr': '6e-4',
  'train.workers': '1',
  'train.checkpointMinutes': '60',
  'tokenizer.contextLength': '16',
};

/**
 * Weights of distillation by fraction of the budget, our choice: all losses throughout. A first stage of
 * features alone came out worse (docs/log.md).
 */
const stages = [{ fraction: 1 }];

const settings = settingArgs(shared);
mkdirSync(out, { recursive: true });
const data = await emojiData(out);
const teacherModel = join(teacher.run, 'model');
const scratch = ['--model', student.preset, '--data', data];
const inherited = ['--init', student.inherited, '--freeze-inherited'];

/** Arguments of a strategy with the teacher, running or stored. */
const taught = (strategy, by = ['--teacher', teacherModel]) => [
  ...['--strategy', strategy, ...by],
  ...settingArgs({ 'strategy.stages': JSON.stringify(stages) }),
];

const captioned = `${data}&captions=${encodeURIComponent(captions)}&synthetic=0.3`;
const candidate = (name, args) => ({ name, args: () => [...args, ...settings] });
const candidates = [
  candidate('student from scratch', [...scratch, '--tokenizer', teacherModel]),
  candidate('inheritance', [...inherited, '--data', data]),
  candidate('… and distillation', [...inherited, '--data', data, ...taught('distill')]),
  candidate('… and distillation, stored teacher', [
    ...inherited,
    ...['--data', data],
    ...taught('distill', ['--reinforced', reinforced]),
  ]),
  candidate('… and pair matching', [...inherited, '--data', data, ...taught('siclip')]),
  candidate('… and synthetic captions', [...inherited, '--data', captioned, ...taught('siclip')]),
];

/** Runs a command; its messages are in `LOG.log`. */
async function bantam(args, log) {
  const { status, output } = await runBantam(args, { log: `${log}.log` });
  if (status !== 0) throw new Error(`bantam ${args[0]} failed, see ${log}.log`);
  return output;
}

/** Command that trains a model for so many samples. */
const training = ({ preset, run, args }, samples) => [
  ...[
    'train',
    '--model',
    preset,
    '--data',
    data,
    '--out',
    run,
    '--budget',
    `${samples}samples`,
    '--validate',
    'none',
  ],
  ...settings,
  ...args,
];

/** Seconds of a training on one lane unchanged planned; none where it was done. */
async function plannedSeconds(model, samples) {
  if (existsSync(join(model.run, 'model'))) return 0;
  const { time } = JSON.parse(
    await bantam([...training(model, samples), '--plan', '--json'], `${model.run}-plan`),
  );
  if (time === null) throw new Error(`${model.preset} does not fit, see ${model.run}-plan.log`);
  return time.total;
}

/**
 * Plans all trainings before any begins. Each plans its memory automatically as it starts.
 * Captions, features that are stored, measurements and evaluation come on top.
 */
async function planTime() {
  const [samples, large] = [values.samples, values['teacher-samples']].map(Number);
  // Without a teacher yet, which gives the tokenizer alone.
  const small = { preset: student.preset, run: join(out, 'student'), args: [] };
  const teaching =
    (await plannedSeconds(teacher, large)) + (await plannedSeconds(captioner, large));
  const missing = Array.from({ length: Number(values.seeds) }, (_, seed) =>
    candidates.filter(({ name }) => !existsSync(join(runOf(out, name, seed), 'model'))),
  ).flat().length;
  const learning = missing === 0 ? 0 : missing * (await plannedSeconds(small, samples));
  const hours = (teaching + learning) / jobs / 3600;
  const minutes = (seconds) => `${(seconds / jobs / 60).toFixed(0)} min`;
  console.error(
    `Planned: ${minutes(teaching)} for teacher and captioner, ${minutes(learning)} for ${missing} students, ${jobs} at a time; captions, stored features and evaluation come on top.`,
  );
  if (values.hours === undefined || hours <= Number(values.hours)) return;
  const allowed = Number(values.hours) * 3600 * jobs;
  const remedy =
    teaching < allowed
      ? `--samples ${Math.floor((samples * (allowed - teaching)) / learning)} would fit`
      : `teacher and captioner alone take longer; --teacher-samples ${Math.floor((large * allowed) / (2 * teaching))} would leave half of the time for the students`;
  console.error(
    `The trainings would take ${hours.toFixed(1)} hours, but --hours allows ${values.hours}; ${remedy}.`,
  );
  process.exit(1);
}

/** Trains a model unless it is there. */
async function trainOnce(model) {
  if (existsSync(join(model.run, 'model'))) return;
  rmSync(model.run, { recursive: true, force: true });
  await bantam(training(model, values['teacher-samples']), model.run);
  console.error(`${model.preset}: trained`);
}

await planTime();
await runParallel([teacher, captioner], jobs, trainOnce);

// Resumes an existing file.
const captioning = ['data', 'caption', '--data', data, '--model', join(captioner.run, 'model')];
captioning.push(...(values.captioned === undefined ? [] : ['--limit', values.captioned]));
await bantam([...captioning, '--out', captions], captions);

if (!existsSync(student.inherited)) {
  const args = ['models', 'inherit', teacherModel, '--model', student.preset];
  console.error(await bantam([...args, '--out', student.inherited], student.inherited));
}

// Teacher embeddings of four views of each image; also resumed.
const reinforcing = ['data', 'reinforce', '--data', data, '--teacher', teacherModel];
await bantam([...reinforcing, '--augmentations', '4', '--out', reinforced], reinforced);

console.log(
  await compareAtEqualTime({
    out,
    candidates,
    reference: candidates[0],
    columns: emojiColumns,
    seeds: Number(values.seeds),
    samples: Number(values.samples),
    batchSize,
    repetitions: Number(values.repetitions),
    jobs,
  }),
);

/** A run's model with merged branches, for use; its folder. */
async function fuse(run, name) {
  const fused = join(out, name);
  if (existsSync(join(fused, 'model'))) return fused;
  mkdirSync(fused, { recursive: true });
  const args = ['models', 'convert', join(run, 'model'), '--to', 'open-clip', '--fused'];
  await bantam([...args, '--out', join(fused, 'model')], join(fused, 'convert'));
  return fused;
}

const last = runOf(out, candidates.at(-1).name, 0);
const models = [
  ['teacher', teacher.run],
  ['teacher, fused', await fuse(teacher.run, 'teacher-fused')],
  ['student', last],
  ['student, fused', await fuse(last, 'student-fused')],
];
await runParallel(models, jobs, ([, run]) => evaluateOnce(emojiColumns, run));
const rates = await inferenceRates(
  models.map(([, run]) => join(run, 'model')),
  { repetitions: Number(values.repetitions), tokens: 8, log: join(out, 'rates.log') },
);
const perSecond = (rate, whole) => `${rate.toFixed(0)} (${(rate / whole).toFixed(2)})`;
console.log(`
| model | parameters | images/s | captions/s | ${emojiColumns.map(([title]) => title).join(' | ')} |
| --- | ---: | ---: | ---: |${emojiColumns.map(() => ' ---: |').join('')}`);
for (const [index, [name, run]] of models.entries()) {
  const { parameters, images, captions: texts } = rates[index];
  const cells = [
    name,
    `${(parameters / 1e6).toFixed(2)}M`,
    perSecond(images, rates[0].images),
    perSecond(texts, rates[0].captions),
    ...figuresOf(emojiColumns, run).map(({ value }) => `${value.toFixed(1)} %`),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
