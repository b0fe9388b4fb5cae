/** Training steps on batches that are in memory, for measuring what a strategy costs. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { trainTokenizer } from 'bantam';
import {
  createStrategy,
  Quarantine,
  resolveConfig,
  resolvePrecision,
  Trainer,
} from 'bantam/experimental';
import { readCaptions } from 'bantam-bench/captions';

/** Bytes that look random: a linear congruential sequence. */
function noise(length, seed = 1) {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = state ^ (state >>> 15);
  }
  return new Uint8Array(words.buffer, 0, length);
}

/**
 * The batches of one step over and over, in micro-batches as a loader gives them: noise for images, every
 * microBatch with its own; the benchmark's captions, the same in every microBatch, so that none is longer. Of
 * several processes each has its rows of every microBatch.
 */
function readyBatches({ batchSize, microBatchSize, views, captions, world }) {
  const pixelsOf = new Map();
  const { start: first, length } = world?.rows(microBatchSize) ?? {
    start: 0,
    length: microBatchSize,
  };
  const microBatchOf = (microBatch, size) => {
    const start = microBatch * microBatchSize + first;
    const rows = Array.from({ length }, (_, i) => start + i);
    const bytes = size * size * 3;
    const images = views.map((view) => {
      const key = `${view} ${microBatch} ${size}`;
      const own = () => noise(microBatchSize * bytes, 1 + microBatch).slice(first * bytes, (first + length) * bytes); // prettier-ignore
      if (!pixelsOf.has(key)) pixelsOf.set(key, own());
      return [view, pixelsOf.get(key)];
    });
    return {
      images: Object.fromEntries(images),
      height: size,
      width: size,
      size: length,
      captions: rows.map((_, i) => captions[(first + i) % captions.length]),
      indices: Int32Array.from(rows),
      keys: rows.map(String),
      epoch: 0,
      next: { epoch: 0, position: 0 },
    };
  };
  return {
    waitSeconds: 0,
    async *batches(_, { size }) {
      for (let microBatch = 0; ; microBatch = (microBatch + 1) % (batchSize / microBatchSize)) {
        yield await Promise.resolve(microBatchOf(microBatch, size));
      }
    },
  };
}

/** As many images of noise as a batch has, for a strategy that reads them before training. */
function noiseSource(folder, samples, size) {
  const path = join(folder, 'noise.rgb');
  writeFileSync(path, noise(size * size * 3));
  return {
    spec: 'noise',
    size: samples,
    record: (index) => ({ key: String(index), captions: ['noise'], meta: {} }),
    location: () => ({ path, raw: { width: size, height: size } }),
  };
}

/**
 * A training in the first part of its strategy, ready to go.
 *
 * @param {object} options
 * @param {string} options.model a preset's name
 * @param {import('bantam/experimental').StrategyInput} [options.strategy] default `clip`
 * @param {number} options.batchSize
 * @param {number} [options.microBatch] default: the whole batch
 * @param {'auto' | 'fp32' | 'bf16'} [options.precision] default `auto`
 * @param {import('bantam/experimental').TrainInput} [options.train] further settings of training
 * @param {string} options.folder for what a strategy reads before training
 * @param {import('bantam/experimental').World | null} [options.world] the processes that train together
 * @returns {Promise<{
 *   precision: string,
 *   embedDim: number,
 *   step: () => Promise<number>,
 *   loss: () => number,
 *   captionTokens: () => number,
 *   flopsPerSample: () => number,
 *   close: () => void,
 * }>} `step` gives the seconds of one step of the
 * optimizer, `captionTokens` the length of the longest caption here
 */
export async function readySteps({
  model,
  strategy: chosen = 'clip',
  batchSize,
  microBatch = 0,
  precision = 'auto',
  train = {},
  folder,
  world = null,
}) {
  const type = typeof chosen === 'string' ? chosen : chosen.type;
  const config = resolveConfig({
    model,
    data: 'noise',
    budget: '1e15samples',
    strategy: chosen,
    // The weights of the locked tower do not change its cost.
    ...(type === 'lit' && { init: { image: 'fresh weights' } }),
    train: { batchSize, microBatch, precision, ...train },
  });
  const captions = await readCaptions();
  const { vocabSize, contextLength } = config.model.text;
  const tokenizer = trainTokenizer(captions, { vocabSize, contextLength, minFrequency: 1 });
  const strategy = createStrategy(config, { samples: batchSize, models: [] });
  const microBatchSize = microBatch === 0 ? batchSize : microBatch;
  const views = Object.keys(strategy.views(config.augment));
  const loader = readyBatches({ batchSize, microBatchSize, views, captions, world });
  const trainer = new Trainer({ config, strategy, tokenizer, world }, loader);
  const dtype = resolvePrecision(precision);
  await strategy.prepare?.({
    model: trainer.model,
    source: noiseSource(folder, batchSize, config.preprocess.size),
    preprocess: config.preprocess,
    precision: dtype,
    batchSize: microBatchSize,
    quarantine: new Quarantine(),
    exclude: () => undefined,
    onProgress: () => undefined,
  });
  const steps = trainer.run();
  let loss = NaN;
  return {
    precision: dtype,
    embedDim: config.model.embedDim,
    async step() {
      const start = performance.now();
      const { value } = await steps.next();
      loss = value.row?.loss ?? value.loss;
      return (performance.now() - start) / 1000;
    },
    /** Of the last step. */
    loss: () => loss,
    captionTokens() {
      const rows = world?.rows(microBatchSize) ?? { start: 0, length: microBatchSize };
      const used = Array.from({ length: rows.length }, (_, i) => captions[(rows.start + i) % captions.length]); // prettier-ignore
      return Math.max(...used.map((caption) => tokenizer.encode(caption).length));
    },
    flopsPerSample: () => trainer.spent.flops / trainer.spent.samples,
    close: () => trainer[Symbol.dispose](),
  };
}
