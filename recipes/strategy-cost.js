/**
 * Time and FLOPs of a sample with each strategy. Steps on ready batches (noise for images, captions
 * of real length, no data loading), each strategy alternately with `clip`; prints the time per sample
 * relative to clip's, median over the repetitions, beside the ratio of FLOPs that budgets count.
 *
 *     node recipes/strategy-cost.js [--model ViT-S-16] [--batch 32] [--repetitions 3] [--precision auto] [--only flip]…
 *
 * FLIP and CLIPA are measured in their cheaper part, LiT with images through the locked tower and
 * with stored features. Measure on an idle machine.
 */
import './shared/one-sentence.js';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readySteps } from './shared/ready-steps.js';
import { median } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'ViT-S-16' },
    batch: { type: 'string', default: '32' },
    repetitions: { type: 'string', default: '3' },
    precision: { type: 'string', default: 'auto' },
    only: { type: 'string', multiple: true },
  },
});
const batchSize = Number(values.batch);
const repetitions = Number(values.repetitions);

/** Cases by their name in the table. */
const cases = {
  'flip, half of the patches': { strategy: 'flip' },
  'clipa, half of the resolution': { strategy: 'clipa' },
  slip: { strategy: 'slip' },
  siglip: { strategy: 'siglip' },
  'fastclip v3': { strategy: 'fastclip' },
  'lit, stored features': { strategy: 'lit' },
  'lit, images': { strategy: { type: 'lit', storeFeatures: false } },
  'clip, gradient cache of four micro-batches': { strategy: 'clip', microBatch: batchSize / 4 },
  'clip, gradient checkpointing': { train: { gradCheckpointing: true } },
};
const chosen = Object.entries(cases).filter(
  ([name]) => values.only?.some((word) => name.includes(word)) ?? true,
);

const folder = mkdtempSync(join(tmpdir(), 'bantam-cost-'));
const open = (options) =>
  readySteps({
    model: values.model,
    batchSize,
    precision: values.precision,
    folder,
    ...options,
  });

try {
  const clip = await open({});
  await clip.step();
  const plain = [];
  const rows = [];
  for (const [name, options] of chosen) {
    const other = await open(options);
    await other.step();
    const ratios = [];
    for (let repetition = 0; repetition < repetitions; repetition++) {
      const seconds = await clip.step();
      ratios.push((await other.step()) / seconds);
      plain.push(seconds);
    }
    const flops = other.flopsPerSample() / clip.flopsPerSample();
    other.close();
    rows.push({ name, time: median(ratios), flops });
    console.error(`${name}: ${ratios.map((x) => x.toFixed(2)).join(', ')} times clip's time`);
  }
  const perSample = (1000 * median(plain)) / batchSize;
  console.log(
    `${values.model}, ${clip.precision}, batch ${batchSize}: clip takes ${perSample.toFixed(1)} ms and ${(clip.flopsPerSample() / 1e9).toFixed(1)} GFLOP per sample.\n`,
  );
  console.log('| strategy | time per sample | FLOPs per sample |');
  console.log('| --- | ---: | ---: |');
  console.log('| clip | 1.00 | 1.00 |');
  for (const { name, time, flops } of rows) {
    console.log(`| ${name} | ${time.toFixed(2)} | ${flops.toFixed(2)} |`);
  }
  clip.close();
} finally {
  rmSync(folder, { recursive: true });
}
