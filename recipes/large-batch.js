/**
 * Memory and time of a large contrastive batch that is computed in micro-batches. Trains two steps with each
 * batch in a process of its own, on ready batches (noise for images, captions of real length);
 * prints peak memory and time per sample of the second step, and checks that the tensors of the large
 * batch keep within 1.3 times those of one micro-batch plus the features. Exit status 1 if they exceed it.
 *
 *     node recipes/large-batch.js [--model ViT-Nano-16-64] [--micro-batch 64] [--batch 4096]… [--precision auto]
 *         [--processes 2]
 *
 * `--batch 4096 --batch 16384` adds the batch that makes 256 micro-batches. `--processes 2` trains each batch with
 * two processes as well, which contrast the same pairs: the losses must be equal to five digits. The images of a batch are in
 * memory as 8-bit pixels in any case; they count in the process, not among the tensors.
 */
import './shared/one-sentence.js';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { memoryStats, resetPeakBytes } from '@bantam/torch';
import { joinWorld } from 'bantam/experimental';
import { peakMemory, resetPeakMemory } from 'bantam-bench/peak-memory';
import { readySteps } from './shared/ready-steps.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'ViT-Nano-16-64' },
    'micro-batch': { type: 'string', default: '64' },
    batch: { type: 'string', multiple: true, default: ['4096'] },
    precision: { type: 'string', default: 'auto' },
    processes: { type: 'string', default: '1' },
    // For the processes of single batches.
    measure: { type: 'string' },
  },
});
const microBatch = Number(values['micro-batch']);
const { model, precision } = values;
const most = Number(values.processes);

/** Measures the second step of a training with this batch. */
async function measure(batchSize) {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-large-'));
  const world = await joinWorld();
  try {
    const options = { model, batchSize, precision, folder, world };
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
    await world?.leave();
    return {
      batchSize,
      processes: world?.size ?? 1,
      loss: training.loss(),
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

/** The same in processes of their own, whose memory nothing else has used; the most that any of them takes. */
async function measureApart(batchSize, processes = 1) {
  const args = [fileURLToPath(import.meta.url), '--measure', String(batchSize)];
  args.push('--model', model, '--micro-batch', values['micro-batch'], '--precision', precision);
  const folder = mkdtempSync(join(tmpdir(), 'bantam-large-'));
  const threads = String(Math.max(1, Math.floor(availableParallelism() / processes)));
  const environment = (rank) => ({
    OMP_NUM_THREADS: threads,
    GLOO_SOCKET_IFNAME: 'lo',
    ...process.env,
    ...(processes > 1 && {
      RANK: String(rank),
      WORLD_SIZE: String(processes),
      BANTAM_RENDEZVOUS: join(folder, 'store'),
    }),
  });
  try {
    const ends = await Promise.all(
      Array.from({ length: processes }, (_, rank) =>
        promisify(execFile)(process.execPath, args, { env: environment(rank) }),
      ),
    );
    const found = ends.map(({ stdout }) => JSON.parse(stdout));
    const highest = (name) => Math.max(...found.map((one) => one[name]));
    const [first] = found;
    return { ...first, tensors: highest('tensors'), process: highest('process') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function megabytes(bytes) {
  return bytes === null ? 'unknown' : (bytes / 1e6).toFixed(0);
}

if (values.measure !== undefined) {
  console.log(JSON.stringify(await measure(Number(values.measure))));
} else {
  const alone = await measureApart(microBatch);
  const rows = [alone];
  for (const batch of values.batch) {
    rows.push(await measureApart(Number(batch)));
    if (most > 1) rows.push(await measureApart(Number(batch), most));
  }
  console.log(
    `${model}, ${alone.precision}, ${microBatch} at a time; ${megabytes(alone.standing)} MB of the tensors are weights, gradients and moments.\n`,
  );
  console.log('| batch | processes | loss | tensors | of which features | without them, beside one micro-batch | process | time per sample |'); // prettier-ignore
  console.log('| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |');
  for (const { batchSize, processes, loss, tensors, features, process, seconds } of rows) {
    const cells = [
      batchSize,
      processes,
      loss.toFixed(5),
      `${megabytes(tensors)} MB`,
      `${megabytes(features)} MB`,
      ((tensors - features) / alone.tensors).toFixed(2),
      `${megabytes(process)} MB`,
      `${(1000 * seconds).toFixed(1)} ms, ${(seconds / alone.seconds).toFixed(2)} times`,
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
  const over = rows.filter(({ tensors, features }) => tensors > 1.3 * alone.tensors + features);
  for (const { batchSize, loss, processes } of rows) {
    const alone = rows.find((row) => row.batchSize === batchSize && row.processes === 1);
    if (Math.abs(loss / alone.loss - 1) <= 1e-5) continue;
    console.error(`Batch ${batchSize} has the loss ${loss} with ${processes} processes, ${alone.loss} with one.`); // prettier-ignore
    process.exitCode = 1;
  }
  for (const { batchSize } of over) {
    console.error(`Batch ${batchSize} takes more than 1.3 times the memory of ${microBatch} and its features.`); // prettier-ignore
    process.exitCode = 1;
  }
}
