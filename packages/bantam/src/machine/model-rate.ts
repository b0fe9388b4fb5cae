import { noGrad, autocast, fromTypedArray, scope, to, type FloatDType } from '@bantam/torch';
import type { Batch } from '../data/index.js';
import { narrowModel, type Clip, type ModelConfig, type Preprocess } from '../models/index.js';
import type { Tokenizer } from '../text/index.js';
import {
  createStrategy,
  fixedLengthTokenizer,
  noiseBatch,
  repeated,
  resolveConfig,
  Trainer,
} from '../train/index.js';
import { resolvePrecision } from '../base/precision.js';
import { upperMedian } from '../base/statistics.js';
import { encodePixels } from '../eval/index.js';

/** How fast a model runs on this machine. */
export interface ModelRate {
  readonly precision: FloatDType;
  readonly batchSize: number;
  /** Image-caption pairs a second in training, with data ready in memory. */
  readonly train: number;
  /** Images a second through the image tower, without gradients. */
  readonly images: number;
  /** Captions a second through the text tower, without gradients. */
  readonly captions: number;
}

/** Options of {@link measureModelRate}. */
export interface ModelRateOptions {
  /** Default 32. */
  batchSize?: number;
  /** Tokens of each caption. Default 16. */
  captionTokens?: number;
  /** Seconds for each of the three measurements, after a warm-up run. Default 2. */
  seconds?: number;
  /** Default `auto`, as in training. */
  precision?: 'auto' | 'fp32' | 'bf16';
}

/**
 * Measures a model with random weights on grey noise: samples/s of the median step of
 * `bantam train`'s own loop, and of both towers.
 */
export async function measureModelRate(
  model: ModelConfig,
  { batchSize = 32, captionTokens = 16, seconds = 2, precision = 'auto' }: ModelRateOptions = {},
): Promise<ModelRate> {
  const tokens = Math.min(captionTokens, model.text.contextLength);
  const tokenizer = fixedLengthTokenizer(model, tokens);
  const batch = noiseBatch({ size: batchSize, imageSize: model.vision.imageSize });
  const config = resolveConfig({
    model,
    data: 'noise',
    budget: '1e15samples',
    train: { batchSize, precision },
  });
  const strategy = createStrategy(config, { samples: batchSize });
  using trainer = new Trainer({ config, strategy, tokenizer }, repeated(batch));
  const steps = trainer.run();
  const train = await medianSeconds(seconds, () => steps.next());
  await steps.return();
  trainer.model.eval();
  const dtype = resolvePrecision(precision);
  narrowModel(trainer.model, dtype);
  const { images, captions } = await measureTowers(trainer.model, {
    batch,
    tokenizer,
    dtype,
    seconds,
    preprocess: config.preprocess,
  });
  const rate = (time: number) => batchSize / time;
  return {
    precision: dtype,
    batchSize,
    train: rate(train),
    images: rate(images),
    captions: rate(captions),
  };
}

interface TowerInputs {
  batch: Batch;
  tokenizer: Tokenizer;
  dtype: FloatDType;
  seconds: number;
  preprocess: Preprocess;
}

/** Median seconds of a batch through each tower. */
async function measureTowers(
  model: Clip,
  { batch, tokenizer, dtype, seconds, preprocess }: TowerInputs,
): Promise<{ images: number; captions: number }> {
  const { images: views, size, height, width } = batch;
  const { image: pixels = new Uint8Array() } = views;
  const { ids, shape } = tokenizer.encodeBatch(batch.captions);
  const images = await medianSeconds(seconds, () =>
    encodePixels(
      { model, preprocess },
      { pixels, shape: [size, height, width, 3] },
      { precision: dtype },
    ),
  );
  const captions = await medianSeconds(seconds, () => {
    noGrad(() => {
      scope(() => {
        const rows = to(fromTypedArray(ids, { shape }), { device: model.logitScale.device });
        autocast(dtype, () => model.encodeText(rows));
      });
    });
  });
  return { images, captions };
}

/** The median of the times that `run` takes, repeated for about `seconds` after a first time. */
async function medianSeconds(seconds: number, run: () => unknown): Promise<number> {
  await run();
  const times: number[] = [];
  const end = performance.now() + 1000 * seconds;
  while (times.length < 2 || performance.now() < end) {
    const start = performance.now();
    await run();
    times.push((performance.now() - start) / 1000);
  }
  return upperMedian(times);
}
