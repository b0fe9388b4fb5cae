/**
 * Memory saved and time added by gradient checkpointing. Steps of `clip` on ready batches (noise
 * for images, captions of real length, no data loading), with and without `train.gradCheckpointing`
 * alternately; prints the memory that a step takes beside weights and moments, which gradients are part of,
 * and the time per sample relative to that without, median over the repetitions, beside the ratio of
 * FLOPs that budgets count. Exit status 1 if a step does not take less memory.
 *
 *     node recipes/grad-checkpointing.js [--model ViT-S-16]… [--batch 32] [--repetitions 3] [--precision auto]
 *
 * Measure times on an idle machine.
 */
import './shared/one-sentence.js';
import { parseArgs } from 'node:util';
import { memoryStats, resetPeakBytes } from '@bantam/torch';
import { readySteps } from './shared/ready-steps.js';
import { median } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    model: {
      type: 'string',
      multiple: true,
      default: ['ViT-S-16', 'RN50', 'convnext_tiny', 'MobileCLIP-S0'],
    },
    batch: { type: 'string', default: '32' },
    repetitions: { type: 'string', default: '3' },
    precision: { type: 'string', default: 'auto' },
  },
});
const batchSize = Number(values.batch);
const repetitions = Number(values.repetitions);

/** Seconds of a step, and the most bytes that it takes beside what stays. */
async function measure(training) {
  const standing = memoryStats().liveBytes;
  resetPeakBytes();
  const seconds = await training.step();
  return { seconds, bytes: memoryStats().peakBytes - standing };
}

async function compare(model) {
  const open = (gradCheckpointing) =>
    readySteps({
      model,
      batchSize,
      precision: values.precision,
      train: { gradCheckpointing },
    });
  const [plain, checkpointed] = [await open(false), await open(true)];
  // The first steps make the optimizer's moments, which stay.
  for (const training of [plain, checkpointed]) await training.step();
  const times = [];
  const ratios = [];
  const bytes = { plain: 0, checkpointed: 0 };
  for (let repetition = 0; repetition < repetitions; repetition++) {
    const without = await measure(plain);
    const frugal = await measure(checkpointed);
    times.push(without.seconds / batchSize);
    ratios.push(frugal.seconds / without.seconds);
    bytes.plain = without.bytes;
    bytes.checkpointed = frugal.bytes;
  }
  console.error(`${model}: ${ratios.map((x) => x.toFixed(2)).join(', ')} times the time`);
  const flops = checkpointed.flopsPerSample() / plain.flopsPerSample();
  const { precision } = plain;
  for (const training of [plain, checkpointed]) training.close();
  return { model, precision, time: median(times), ratio: median(ratios), flops, bytes };
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

const rows = [];
for (const model of values.model) rows.push(await compare(model));
console.log(`Batch ${batchSize}, ${rows[0]?.precision}.\n`);
console.log('| model | step takes | with checkpointing | | time per sample | with checkpointing | FLOPs |'); // prettier-ignore
console.log('| --- | ---: | ---: | ---: | ---: | ---: | ---: |');
for (const { model, time, ratio, flops, bytes } of rows) {
  const cells = [
    `\`${model}\``,
    megabytes(bytes.plain),
    megabytes(bytes.checkpointed),
    (bytes.checkpointed / bytes.plain).toFixed(2),
    `${(1000 * time).toFixed(1)} ms`,
    `${ratio.toFixed(2)} times`,
    `${flops.toFixed(2)} times`,
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
for (const { model, bytes } of rows) {
  if (bytes.checkpointed < bytes.plain) continue;
  console.error(`A step of ${model} takes no less memory with checkpointing.`);
  process.exitCode = 1;
}
