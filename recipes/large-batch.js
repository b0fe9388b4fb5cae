/**
 * What does a large contrastive batch take, computed in small pieces? Trains two steps with each
 * batch in a process of its own, on ready batches (noise for pictures, captions of real length);
 * prints peak memory and time per sample of the second step, and whether the tensors of the large
 * batch keep within 1.3 times those of one piece plus the features. Exit status 1 where they do not.
 *
 *     node recipes/large-batch.js [--model ViT-Nano-16-64] [--piece 64] [--batch 4096]… [--precision auto]
 *
 * `--batch 4096 --batch 16384` adds the batch that makes 256 pieces. The pictures of a batch are in
 * memory as 8-bit pixels in any case; they count in the process, not among the tensors.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { memoryStats, resetPeakBytes } from '../packages/torch/dist/index.js';
import { peakMemory, resetPeakMemory } from '../bench/dist/peak-memory.js';
import { readySteps } from './shared/ready-steps.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'ViT-Nano-16-64' },
    piece: { type: 'string', default: '64' },
    batch: { type: 'string', multiple: true, default: ['4096'] },
    precision: { type: 'string', default: 'auto' },
    // What the processes of single batches are told.
    measure: { type: 'string' },
  },
});
const piece = Number(values.piece);
const { model, precision } = values;

/** Measures the second step of a training with this batch. */
async function measure(batchSize) {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-large-'));
  try {
    const microBatch = batchSize > piece ? piece : 0;
    const training = await readySteps({
      model,
      batchSize,
      train: { microBatch },
      precision,
      folder,
    });
    // The first one makes the pictures, gradients and the optimizer's moments, which stay.
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
  args.push('--model', model, '--piece', values.piece, '--precision', precision);
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}

function megabytes(bytes) {
  return bytes === null ? 'unknown' : (bytes / 1e6).toFixed(0);
}

if (values.measure !== undefined) {
  console.log(JSON.stringify(await measure(Number(values.measure))));
} else {
  const alone = await measureApart(piece);
  const rows = [alone];
  for (const batch of values.batch) rows.push(await measureApart(Number(batch)));
  console.log(
    `${model}, ${alone.precision}, ${piece} at a time; ${megabytes(alone.standing)} MB of the tensors are weights, gradients and moments.\n`,
  );
  console.log('| batch | tensors | of which features | without them, beside one piece | process | time per sample |'); // prettier-ignore
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
    console.error(`Batch ${batchSize} takes more than 1.3 times the memory of ${piece} and its features.`); // prettier-ignore
    process.exitCode = 1;
  }
}
