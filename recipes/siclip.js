/**
 * SiCLIP, the whole way on one computer (Liu 2024): a teacher, a smaller student of simplified blocks
 * that inherits what both have, distillation in stages, pair matching, captions that a captioner of
 * your own writes, and the comparison of them all at equal time.
 *
 *     node recipes/siclip.js [--samples 16000] [--teacher-samples 64000] [--seeds 3] [--out runs/siclip]
 *
 * The data are the emoji. What is done already in `--out` is not repeated, so an interrupted recipe
 * goes on where it was. Constants that the paper does not publish are ours: see `stages`. What came
 * out, and why it is no verdict yet, is in docs/strategies.md.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { emojiColumns, emojiData } from './shared/emoji.js';
import { compareAtEqualTime, evaluateOnce, figuresOf, runOf } from './shared/equal-time.js';
import { inferenceRates } from './shared/inference-rates.js';
import { inLanes, runBantam, settingArgs } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    samples: { type: 'string', default: '16000' },
    'teacher-samples': { type: 'string', default: '64000' },
    // How many pictures get synthetic captions, the first ones; all by default.
    captioned: { type: 'string' },
    seeds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
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
 * Weights of distillation by share of the budget, ours: all losses all the way. A first stage of
 * features alone came out worse (docs/log.md).
 */
const stages = [{ share: 1 }];

/** Runs a command; its messages are in `LOG.log`. */
async function bantam(args, log) {
  const { status, output } = await runBantam(args, { log: `${log}.log` });
  if (status !== 0) throw new Error(`bantam ${args[0]} failed, see ${log}.log`);
  return output;
}

/** Trains a model unless it is there. */
async function trainOnce({ preset, run, args }) {
  if (existsSync(join(run, 'model'))) return;
  rmSync(run, { recursive: true, force: true });
  const budget = `${values['teacher-samples']}samples`;
  const all = ['train', '--model', preset, '--data', data, '--out', run, '--budget', budget];
  await bantam([...all, ...settingArgs(shared), ...args], run);
  console.error(`${preset}: trained`);
}

mkdirSync(out, { recursive: true });
const data = await emojiData(out);
await inLanes([teacher, captioner], jobs, trainOnce);
const teacherModel = join(teacher.run, 'model');

// Captions that are there are gone on with, so this may be repeated.
const captioning = ['data', 'caption', '--data', data, '--model', join(captioner.run, 'model')];
captioning.push(...(values.captioned === undefined ? [] : ['--limit', values.captioned]));
await bantam([...captioning, '--out', captions], captions);
if (!existsSync(student.inherited)) {
  const args = ['models', 'inherit', teacherModel, '--model', student.preset];
  console.error(await bantam([...args, '--out', student.inherited], student.inherited));
}

// What the teacher says about four views of each picture; also gone on with.
const reinforcing = ['data', 'reinforce', '--data', data, '--teacher', teacherModel];
await bantam([...reinforcing, '--augmentations', '4', '--out', reinforced], reinforced);

const settings = settingArgs(shared);
const scratch = ['--model', student.preset, '--tokenizer', teacherModel, '--data', data];
const inherited = ['--init', student.inherited, '--freeze-inherited'];
/** Arguments of a strategy with the teacher, as it runs or as it was stored. */
const taught = (strategy, by = ['--teacher', teacherModel]) => [
  ...['--strategy', strategy, ...by],
  ...settingArgs({ 'strategy.stages': JSON.stringify(stages) }),
];
const captioned = `${data}&captions=${encodeURIComponent(captions)}&synthetic=0.3`;
const candidate = (name, args) => ({ name, args: () => [...args, ...settings] });
const candidates = [
  candidate('student from scratch', scratch),
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
console.log(
  await compareAtEqualTime({
    out,
    candidates,
    reference: candidates[0],
    columns: emojiColumns,
    seeds: Number(values.seeds),
    samples: Number(values.samples),
    batchSize,
    rounds: Number(values.rounds),
    jobs,
  }),
);

// The student for use: the last one, with merged branches, beside the teacher.
const last = runOf(out, candidates.at(-1).name, 0);
const fused = join(out, 'fused');
if (!existsSync(join(fused, 'model'))) {
  mkdirSync(fused, { recursive: true });
  const source = join(last, 'model');
  const args = ['models', 'convert', source, '--to', 'open-clip', '--fused'];
  await bantam([...args, '--out', join(fused, 'model')], join(fused, 'convert'));
}
const models = [
  ['teacher', teacher.run],
  ['student', last],
  ['student, fused', fused],
];
await inLanes(models, jobs, ([, run]) => evaluateOnce(emojiColumns, run));
const rates = await inferenceRates(
  models.map(([, run]) => join(run, 'model')),
  { rounds: Number(values.rounds), tokens: 8, log: join(out, 'rates.log') },
);
const perSecond = (rate, whole) => `${rate.toFixed(0)} (${(rate / whole).toFixed(2)})`;
console.log(`
| model | parameters | images/s | captions/s | ${emojiColumns.map(([title]) => title).join(' | ')} |
| --- | ---: | ---: | ---: |${emojiColumns.map(() => ' ---: |').join('')}`);
for (const [place, [name, run]] of models.entries()) {
  const { parameters, images, captions: texts } = rates[place];
  const cells = [
    name,
    `${(parameters / 1e6).toFixed(2)}M`,
    perSecond(images, rates[0].images),
    perSecond(texts, rates[0].captions),
    ...figuresOf(emojiColumns, run).map(({ value }) => `${value.toFixed(1)} %`),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
