/**
 * Planned memory beside the measured memory of a training. Plans each row and trains it for two
 * steps, each in a process of its own on one thread, on 144 images of noise; prints what was planned
 * beside the most memory that the run ever had resident. Exit status 1 if less was planned than
 * used, or over 15 % more.
 *
 *     node recipes/planned-memory.js [--only bf16]…
 *
 * `--only WORD` takes the rows that have the word in them. The images are of 64 pixels, so that
 * decoded ones take 2 MB: in place of the most that they may take, these are counted. A minute or two
 * for the small models; RN50 and MobileCLIP-S0 take 3 GB.
 */
import './shared/one-sentence.js';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import sharp from 'sharp';
import { loadTokenizer, openSource, train, trainTokenizer } from 'bantam';
import { MemoryPlanner, resolveConfig } from 'bantam/experimental';
import { peakMemory } from 'bantam-bench/peak-memory';

const rows = [
  ['ViT-Nano-8-64', 32, 0, 'fp32'],
  ['ViT-Nano-8-64', 96, 0, 'fp32'],
  ['ViT-Nano-8-64', 96, 24, 'fp32'],
  ['ViT-Nano-8-64', 32, 0, 'bf16'],
  ['ViT-Nano-8-64', 96, 0, 'bf16'],
  ['ViT-S-16', 16, 0, 'fp32'],
  ['ViT-S-16', 32, 0, 'bf16'],
  ['RN50', 8, 0, 'fp32'],
  ['RN50', 16, 4, 'bf16'],
  ['MobileCLIP-S0', 8, 0, 'fp32'],
  ['MobileCLIP-S0', 16, 0, 'bf16'],
].map(([model, batch, microBatch, precision]) => ({ model, batch, microBatch, precision }));

const images = 144;
const size = 64;
/** Short enough for the captions to fill it: a plan assumes the longest. */
const contextLength = 4;

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    // For the processes of single rows.
    folder: { type: 'string' },
    plan: { type: 'string' },
    take: { type: 'string' },
  },
});

function optionsOf({ model, batch, microBatch, precision }) {
  return {
    model,
    data: `folder:${join(values.folder, 'images')}`,
    budget: `${2 * batch}samples`,
    train: { batchSize: batch, microBatch, precision },
    tokenizer: { path: join(values.folder, 'tokenizer'), contextLength },
  };
}

/** Planned bytes of a run without a profiling step of its own, as all of these are. */
async function planned(row) {
  const options = optionsOf(row);
  const source = await openSource(options.data);
  const { vocabSize } = await loadTokenizer(options.tokenizer.path, { contextLength });
  const resolved = resolveConfig(options);
  const { model } = resolved;
  const config = {
    ...resolved,
    model: { ...model, text: { ...model.text, vocabSize, contextLength } },
    augment: source.augment,
  };
  const longest = { text: 'noise', tokens: contextLength };
  const planner = await MemoryPlanner.create(config, { source, models: [], longest });
  const plan = planner.plan({ dryRuns: { memory: false, time: false } });
  return plan.total - plan.images + images * size * size * 3;
}

/** The most bytes that the process of a run had. */
async function taken(row) {
  const out = mkdtempSync(join(values.folder, 'run-'));
  await train({ ...optionsOf(row), out });
  return peakMemory();
}

async function drawImages(folder) {
  const raw = { width: size, height: size, channels: 3 };
  for (let i = 0; i < images; i++) {
    const name = join(folder, i % 2 === 0 ? 'even' : 'odd');
    mkdirSync(name, { recursive: true });
    const pixels = Uint8Array.from({ length: size * size * 3 }, (_, at) => (at * (i + 7)) % 251);
    await sharp(pixels, { raw }).toFile(join(name, `${i}.png`));
  }
}

async function apart(task, folder, row) {
  const args = [fileURLToPath(import.meta.url), '--folder', folder, `--${task}`, String(row)];
  const env = { ...process.env, OMP_NUM_THREADS: '1' };
  return Number((await promisify(execFile)(process.execPath, args, { env })).stdout);
}

if (values.plan !== undefined) {
  console.log(await planned(rows[Number(values.plan)]));
} else if (values.take !== undefined) {
  console.log(await taken(rows[Number(values.take)]));
} else {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-memory-'));
  try {
    await drawImages(join(folder, 'images'));
    await trainTokenizer(['even', 'odd'], { vocabSize: 600, contextLength }).save(
      join(folder, 'tokenizer'),
    );
    console.log('| model | batch | precision | planned | measured | |');
    console.log('| --- | --- | --- | ---: | ---: | ---: |');
    for (const [row, { model, batch, microBatch, precision }] of rows.entries()) {
      const batches = microBatch === 0 ? String(batch) : `${batch}, micro-batches ${microBatch}`;
      const words = `\`${model}\` | ${batches} | ${precision}`;
      if (!(values.only?.some((word) => words.includes(word)) ?? true)) continue;
      const [plan, most] = [await apart('plan', folder, row), await apart('take', folder, row)];
      const more = plan / most - 1;
      if (!(more >= 0 && more <= 0.15)) process.exitCode = 1;
      const megabytes = [plan, most].map((bytes) => `${(bytes / 1e6).toFixed(0)} MB`);
      console.log(`| ${words} | ${megabytes.join(' | ')} | ${(100 * more).toFixed(0)} % |`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
