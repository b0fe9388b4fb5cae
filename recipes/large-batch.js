/**
 * Memory and time of a large contrastive batch that is computed in micro-batches. Trains two steps with each
 * batch in a process of its own, on ready batches (noise for images, captions of real length);
 * prints peak memory and time per sample of the second step, and checks that the tensors of the large
 * batch keep within 1.3 times those of one micro-batch plus the features. Exit status 1 if they exceed it.
 *
 *     node recipes/large-batch.js [--model ViT-Nano-16-64] [--micro-batch 64] [--batch 4096]… [--precision auto]
 *
 * `--batch 4096 --batch 16384` adds the batch that makes 256 micro-batches. The images of a batch are in
 * memory as 8-bit pixels in any case; they count in the process, not among the tensors.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { memoryStats, resetPeakBytes } from '@bantam/torch';
import { peakMemory, resetPeakMemory } from 'bantam-bench/peak-memory';
import { readySteps } from './shared/ready-steps.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'ViT-Nano-16-64' },
    'micro-batch': { type: 'string', default: '64' },
    batch: { type: 'string', multiple: true, default: ['4096'] },
    precision: { type: 'string', default: 'auto' },
    // For the processes of single batches.
    measure: { type: 'string' },
  },
});
const microBatch = Number(values['micro-batch']);
const { model, precision } = values;

/** Measures the second step of a training with this batch. */
async function measure(batchSize) {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-large-'));
  try {
    const options = { model, batchSize, precision, folder };
    const training = await readySteps({
      ...options,
      microBatch: batchSize > microBatch ? microBatch : 0,
    });
    // The first step makes the images, gradients and the optimizer's moments, which stay.
    await training.step();
    const standing = memoryStats().liveBytes;
    resetPeakBytes();
    resetPeakMemory();
    const seconds = await training.step();
    return {
      batchSize,
      precision: training.precision,
      // Image and text, in float32.
      features: batchSize * 2 * training.embedDim * 4,
      standing,
      tensors: memoryStats().peakBytes,
      process: peakMemory(),
      seconds: seconds / batchSize,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The same in a process of its own, whose memory nothing else has used. */
async function measureApart(batchSize) {
  const args = [fileURLToPath(import.meta.url), '--measure', String(batchSize)];
  args.push('--model', model, '--micro-batch', values['micro-batch'], '--precision', precision);
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}

function megabytes(bytes) {
  return bytes === null ? 'unknown' : (bytes / 1e6).toFixed(0);
}

if (values.measure !== undefined) {
  console.log(JSON.stringify(await measure(Number(values.measure))));
} else {
  const alone = await measureApart(microBatch);
  const rows = [alone];
  for (const batch of values.batch) rows.push(await measureApart(Number(batch)));
  console.log(
    `${model}, ${alone.precision}, ${microBatch} at a time; ${megabytes(alone.standing)} MB of the tensors are weights, gradients and moments.\n`,
  );
  console.log('| batch | tensors | of which features | without them, beside one micro-batch | process | time per sample |'); // prettier-ignore
  console.log('| ---: | ---: | ---: | ---: | ---: | ---: |');
  for (const { batchSize, tensors, features, process, seconds } of rows) {
    const cells = [
      batchSize,
      `${megabytes(tensors)} MB`,
      `${megabytes(features)} MB`,
      ((tensors - features) / alone.tensors).toFixed(2),
      `${megabytes(process)} MB`,
      `${(1000 * seconds).toFixed(1)} ms, ${(seconds / alone.seconds).toFixed(2)} times`,
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
  const over = rows.filter(({ tensors, features }) => tensors > 1.3 * alone.tensors + features);
  for (const { batchSize } of over) {
    console.error(`Batch ${batchSize} takes more than 1.3 times the memory of ${microBatch} and its features.`); // prettier-ignore
    process.exitCode = 1;
  }
}
