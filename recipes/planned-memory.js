/**
 * How near does planned memory come to what a training takes? Plans each row and trains it for two
 * steps, each in a process of its own on one thread, on 144 pictures of noise; prints what was planned
 * beside the most memory that the run ever had resident. Exit status 1 where less was planned than
 * taken, or over 15 % more.
 *
 *     node recipes/planned-memory.js [--only bf16]…
 *
 * `--only WORD` takes the rows that have the word in them. The pictures are of 64 pixels, so that
 * decoded ones take 2 MB: in place of the most that they may take, these are counted. A minute or two
 * for the small models; RN50 and MobileCLIP-S0 take 3 GB.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import sharp from 'sharp';
import {
  loadTokenizer,
  MemoryPlanner,
  openSource,
  resolveConfig,
  train,
  trainTokenizer,
} from '../packages/bantam/dist/index.js';
import { peakMemory } from '../bench/dist/peak-memory.js';

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
const edge = 64;
/** Few, so that the captions fill it: a plan goes by the longest. */
const contextLength = 4;

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    // What the processes of single rows are told.
    folder: { type: 'string' },
    plan: { type: 'string' },
    take: { type: 'string' },
  },
});

function optionsOf({ model, batch, microBatch, precision }) {
  return {
    model,
    data: `folder:${join(values.folder, 'pictures')}`,
    budget: `${2 * batch}samples`,
    tokenizer: { path: join(values.folder, 'tokenizer'), contextLength },
    train: { batchSize: batch, microBatch, precision },
  };
}

/** Bytes that are planned for a run that makes no dry runs itself, as none of these does. */
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
  return plan.total - plan.images + images * edge * edge * 3;
}

/** The most bytes that the process of a run had. */
async function taken(row) {
  const out = mkdtempSync(join(values.folder, 'run-'));
  await train({ ...optionsOf(row), out });
  return peakMemory();
}

async function drawPictures(folder) {
  const raw = { width: edge, height: edge, channels: 3 };
  for (let i = 0; i < images; i++) {
    const name = join(folder, i % 2 === 0 ? 'even' : 'odd');
    mkdirSync(name, { recursive: true });
    const pixels = Uint8Array.from({ length: edge * edge * 3 }, (_, at) => (at * (i + 7)) % 251);
    await sharp(pixels, { raw }).toFile(join(name, `${i}.png`));
  }
}

async function apart(what, folder, place) {
  const args = [fileURLToPath(import.meta.url), '--folder', folder, `--${what}`, String(place)];
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
    await drawPictures(join(folder, 'pictures'));
    await trainTokenizer(['even', 'odd'], { vocabSize: 600, contextLength }).save(
      join(folder, 'tokenizer'),
    );
    console.log('| model | batch | precision | planned | measured | |');
    console.log('| --- | --- | --- | ---: | ---: | ---: |');
    for (const [place, { model, batch, microBatch, precision }] of rows.entries()) {
      const batches = microBatch === 0 ? String(batch) : `${batch}, micro-batches of ${microBatch}`;
      const words = `\`${model}\` | ${batches} | ${precision}`;
      if (!(values.only?.some((word) => words.includes(word)) ?? true)) continue;
      const [plan, most] = [await apart('plan', folder, place), await apart('take', folder, place)];
      const more = plan / most - 1;
      if (!(more >= 0 && more <= 0.15)) process.exitCode = 1;
      const megabytes = [plan, most].map((bytes) => `${(bytes / 1e6).toFixed(0)} MB`);
      console.log(`| ${words} | ${megabytes.join(' | ')} | ${(100 * more).toFixed(0)} % |`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
