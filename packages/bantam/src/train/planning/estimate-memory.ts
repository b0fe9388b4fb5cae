/** Memory of a training, estimated from the size of its model before anything of it has run. */
import type { Device } from '@bantam/torch';
import { resolvePrecision, weightType, type Precision } from '../../base/precision.js';
import { pixelCacheBytes, pixelCacheLimit, type Source } from '../../data/index.js';
import { activationBytes, parameterCount, type ModelConfig } from '../../models/index.js';

/** Node.js, libtorch, a data thread, and what kernels keep: 0.42 to 0.58 GB in plans of dense models. */
const processBytes = 0.5e9;

/** Numbers of each parameter: weight, gradient, and AdamW's two moments. A moving average is one more. */
const numbersPerParameter = 4;

/**
 * Peak of a step over {@link activationBytes}. In float32 the backward pass adds the gradients of activations:
 * 1.3 to 1.8 in plans. In 16 bits most of both take half as much: 0.5 to 1.3.
 */
const peakOverActivations = { float64: 3, float32: 1.5, bfloat16: 0.8, float16: 0.8 } as const;

/** Bytes of each pair of a batch: similarities of both sides with their gradients. */
const bytesPerPair = 16;

/** Options of {@link modelMemory}. */
export interface ModelMemoryOptions {
  readonly precision: Precision;
  /** Default: the CPU. */
  readonly device?: Device | undefined;
  /** Tokens of a caption; default: the whole context. */
  readonly captionTokens?: number;
  /** Passes of a sample through each tower. Default 1. */
  readonly imagePasses?: number;
  readonly textPasses?: number;
  /** Trained parameters beside the model's. Default 0. */
  readonly otherParameters?: number;
  /** True with a moving average of the weights. Default false. */
  readonly hasAverage?: boolean;
}

/** Memory of a model's training, in bytes. */
export interface ModelMemory {
  /** Whatever the batch is. */
  readonly fixed: number;
  /** Of each sample that passes through the towers at once. */
  readonly perSample: number;
}

/** Estimated memory of training a model without its data. */
export function modelMemory(
  model: ModelConfig,
  {
    precision,
    device,
    captionTokens = model.text.contextLength,
    imagePasses = 1,
    textPasses = 1,
    otherParameters = 0,
    hasAverage = false,
  }: ModelMemoryOptions,
): ModelMemory {
  const { image, text, decoder = 0 } = activationBytes(model, { captionTokens });
  const bytes = weightType(precision) === 'float64' ? 8 : 4;
  const numbers = numbersPerParameter + (hasAverage ? 1 : 0);
  const parameters = parameterCount(model).total + otherParameters;
  return {
    fixed: processBytes + bytes * numbers * parameters,
    perSample:
      peakOverActivations[resolvePrecision(precision, device)] *
      (imagePasses * image + textPasses * (text + decoder)),
  };
}

/** The batches of a training, for {@link estimateMemory}. */
export interface EstimatedBatches {
  readonly batchSize: number;
  /** Samples that pass through the towers at once. Default: the batch. */
  readonly microBatch?: number;
  readonly source: Pick<Source, 'size' | 'location'>;
  readonly imageSize: number;
  /** Memory that the training may take in GB; 0: all. */
  readonly memoryLimit: number;
}

/**
 * Estimated peak memory of a training in bytes: {@link modelMemory}, similarities, and the decoded images that are
 * kept. It was 0.71 to 1.43 of what {@link MemoryPlanner} found for 15 models with AdamW and all weights trained, at
 * batches of 64 to 512 in bf16, five of them in fp32 too; it is more than that with frozen weights or gradient
 * checkpointing.
 */
export function estimateMemory(
  { fixed, perSample }: ModelMemory,
  { batchSize, microBatch = batchSize, source, imageSize, memoryLimit }: EstimatedBatches,
): number {
  const cacheBytes = pixelCacheLimit(memoryLimit);
  const images = pixelCacheBytes(source, imageSize, { cacheBytes });
  return fixed + microBatch * perSample + bytesPerPair * batchSize ** 2 + images;
}
