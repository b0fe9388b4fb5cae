/**
 * Time of distilling from a reinforced data set, relative to a running teacher. Makes the set, then
 * trains a student for some steps in both ways alternately, data loading included; prints the time per
 * sample of the set relative to the teacher's, median over the repetitions, what making the set took, and
 * after how many samples of training it is paid for.
 *
 *     node recipes/reinforced-cost.js --data SPEC --teacher DIR [--out reinforced-cost]
 *       [--model ViT-Nano-16-64] [--batch 64] [--steps 20] [--repetitions 3] [--augmentations 8]
 *
 * Start it in an empty folder, on an idle machine. The first quarter of the steps is not counted.
 */
import './shared/one-sentence.js';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { median, readRows, runBantam, settingArgs, threadsEach } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    teacher: { type: 'string' },
    out: { type: 'string', default: 'reinforced-cost' },
    model: { type: 'string', default: 'ViT-Nano-16-64' },
    batch: { type: 'string', default: '64' },
    steps: { type: 'string', default: '20' },
    repetitions: { type: 'string', default: '3' },
    augmentations: { type: 'string', default: '8' },
  },
});
const { data, teacher, out, model } = values;
if (data === undefined || teacher === undefined) {
  throw new Error('Give --data SPEC and --teacher DIR; see the top of this file.');
}
const set = join(out, 'set');
const steps = Number(values.steps);
const skipped = Math.ceil(steps / 4);
mkdirSync(out, { recursive: true });

async function bantam(name, args) {
  const log = join(out, `${name}.log`);
  const ended = await runBantam(args, { log, threads: threadsEach(1) });
  if (ended.status !== 0) throw new Error(`bantam ${args[0]} failed; see ${log}.`);
  return ended;
}

/** Seconds per sample of a student that learns in one of the two ways. */
async function secondsPerSample(way, args) {
  const run = join(out, way);
  rmSync(run, { recursive: true, force: true });
  const settings = settingArgs({ train: { batchSize: Number(values.batch) } });
  const budget = `${Number(values.batch) * steps}samples`;
  await bantam(way, [
    ...[
      'train',
      '--data',
      data,
      '--model',
      model,
      '--out',
      run,
      '--budget',
      budget,
      '--validate',
      'none',
    ],
    ...['--strategy', 'distill', ...args, ...settings],
  ]);
  const rows = readRows(join(run, 'metrics.jsonl'));
  const [first, last] = [rows[skipped - 1], rows.at(-1)];
  return (last.seconds - first.seconds) / (last.samples - first.samples);
}

const began = performance.now();
const { output } = await bantam('reinforce', [
  ...['data', 'reinforce', '--data', data, '--teacher', teacher, '--out', set],
  ...['--augmentations', values.augmentations, '--json'],
]);
const making = (performance.now() - began) / 1000;
const { records, written } = JSON.parse(output);

const ratios = [];
const saved = [];
for (let repetition = 0; repetition < Number(values.repetitions); repetition++) {
  const online = await secondsPerSample('online', ['--teacher', teacher]);
  const stored = await secondsPerSample('stored', ['--reinforced', set]);
  ratios.push(stored / online);
  saved.push(online - stored);
  console.error(
    `${(1000 * online).toFixed(2)} ms beside the teacher, ${(1000 * stored).toFixed(2)} ms from the set`,
  );
}
console.log(
  `time per sample from the set, relative to the teacher's: ${median(ratios).toFixed(2)}`,
);
console.log(`making the set: ${making.toFixed(0)} s for ${written} of ${records} records`);
if (written === records && median(saved) > 0) {
  const samples = making / median(saved);
  console.log(
    `it is paid for after ${Math.round(samples)} samples, ${(samples / records).toFixed(1)} times the data`,
  );
}
