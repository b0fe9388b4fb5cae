import { setImmediate } from 'node:timers/promises';
import {
  autocast,
  fromTypedArray,
  noGrad,
  normalize,
  scope,
  to,
  type Device,
  type FloatDType,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../base/errors.js';
import { normalizePixels, type LoadedModel } from '../models/index.js';
import type { Tokenizer } from '../text/index.js';

export interface EncodeOptions {
  /** Number format of the towers; features are always float32. `float32` by default. */
  readonly precision?: FloatDType;
  /** Texts or images at a time. 64 by default. */
  readonly batchSize?: number;
}

/** Runs a tower without gradients and gives its features, each row scaled to length 1. */
function towerFeatures(
  encode: () => Tensor,
  options: EncodeOptions & { readonly device: Device },
): Float32Array {
  return towerOutputs(() => [encode()], options)[0];
}

/** Runs a tower without gradients and gives its features, scaled to length 1, and other outputs. */
function towerOutputs(
  encode: () => readonly [Tensor, ...Tensor[]],
  { precision = 'float32', device }: EncodeOptions & { readonly device: Device },
): [Float32Array, ...Float32Array[]] {
  const outputs = noGrad(() =>
    scope(() => {
      const [pooled, ...others] = autocast(precision, encode, { device }).map((output) =>
        to(output, { dtype: 'float32', device: 'cpu' }),
      ) as [Tensor, ...Tensor[]];
      return [normalize(pooled), ...others].map(
        (output) => output.toTypedArray() as Float32Array,
      ) as [Float32Array, ...Float32Array[]];
    }),
  );
  if (!outputs.every((values) => values.every(Number.isFinite))) {
    throw new BantamError(
      'The model gives features that are not finite, so nothing can be measured; use precision fp32, or an earlier checkpoint.',
    );
  }
  return outputs;
}

/** 8-bit RGB images of the model's size. */
export interface EncodePixelsInput {
  /** Rows [B, H, W, 3]. */
  readonly pixels: Uint8Array;
  readonly shape: readonly [number, number, number, 3];
}

/** Features of a batch of images: B·D values, float32, each row scaled to length 1. */
export function encodePixels(
  { model, preprocess }: Pick<LoadedModel, 'model' | 'preprocess'>,
  { pixels, shape }: EncodePixelsInput,
  options: EncodeOptions = {},
): Float32Array {
  const { device } = model.logitScale;
  const encode = (): Tensor =>
    model.encodeImage(normalizePixels(fromTypedArray(pixels, { shape, device }), preprocess));
  return towerFeatures(encode, { ...options, device });
}

/** Both vectors of each image that evaluation can use. */
export interface EncodedImages {
  /** B·D values, each row scaled to length 1. */
  readonly embedding: Float32Array;
  /** B·W values: the vectors before the projection, as the tower gives them. */
  readonly representation: Float32Array;
}

/** {@link encodePixels} and the vectors before the projection, in one pass of the tower. */
export function encodeImages(
  { model, preprocess }: Pick<LoadedModel, 'model' | 'preprocess'>,
  { pixels, shape }: EncodePixelsInput,
  options: EncodeOptions = {},
): EncodedImages {
  const { device } = model.logitScale;
  const encode = (): readonly [Tensor, Tensor] => {
    const raw = fromTypedArray(pixels, { shape, device });
    const { pooled, representation } = model.visual.encode(normalizePixels(raw, preprocess));
    return [pooled, representation];
  };
  const [embedding, representation = embedding] = towerOutputs(encode, { ...options, device });
  return { embedding, representation };
}

export interface EncodeTextsOptions extends EncodeOptions {
  /** Cuts texts to this many tokens, special ones included; the model's context by default. */
  readonly maxTokens?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Text features [N, D], float32, each row of length 1. Equal texts are computed once, and texts of
 * like length together, so that little padding is computed. The event loop runs between batches.
 */
export async function encodeTexts(
  { model, tokenizer: whole, config }: LoadedModel,
  texts: readonly string[],
  options: EncodeTextsOptions = {},
): Promise<Tensor> {
  const { batchSize = 64, maxTokens, onProgress } = options;
  const tokenizer = maxTokens === undefined ? whole : shortened(whole, maxTokens);
  const width = config.embedDim;
  const { device } = model.logitScale;
  const lengths = new Map(texts.map((text) => [text, tokenizer.encode(text).length]));
  const shortestFirst = [...lengths].sort(([, a], [, b]) => a - b).map(([text]) => text);
  const rowOf = new Map<string, Float32Array>();
  for (let start = 0; start < shortestFirst.length; start += batchSize) {
    const batch = shortestFirst.slice(start, start + batchSize);
    const { ids, shape } = tokenizer.encodeBatch(batch, { length: 'longest' });
    const encode = (): Tensor => model.encodeText(fromTypedArray(ids, { shape, device }));
    const features = towerFeatures(encode, { ...options, device });
    batch.forEach((text, row) => {
      rowOf.set(text, features.subarray(row * width, (row + 1) * width));
    });
    onProgress?.(rowOf.size, shortestFirst.length);
    await setImmediate();
  }
  const rows = new Float32Array(texts.length * width);
  texts.forEach((text, row) => {
    const features = rowOf.get(text);
    if (features !== undefined) rows.set(features, row * width);
  });
  return fromTypedArray(rows, { shape: [texts.length, width] });
}

/** A tokenizer whose texts end after fewer tokens; the end token stays the last. */
function shortened(
  tokenizer: Tokenizer,
  maxTokens: number,
): Pick<Tokenizer, 'encode' | 'encodeBatch'> {
  const encode = (text: string): number[] => {
    const ids = tokenizer.encode(text);
    if (ids.length <= maxTokens) return ids;
    const ends = tokenizer.eotId >= 0 ? ids.slice(-1) : [];
    return [...ids.slice(0, maxTokens - ends.length), ...ends];
  };
  return {
    encode,
    encodeBatch(texts) {
      const rows = texts.map(encode);
      const columns = Math.max(...rows.map(({ length }) => length));
      const ids = new BigInt64Array(rows.length * columns).fill(BigInt(tokenizer.padId));
      rows.forEach((row, i) => {
        ids.set(row.map(BigInt), i * columns);
      });
      return { ids, shape: [rows.length, columns] };
    },
  };
}
