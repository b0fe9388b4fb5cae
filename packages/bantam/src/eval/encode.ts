import { setImmediate } from 'node:timers/promises';
import {
  autocast,
  fromTypedArray,
  noGrad,
  normalize,
  scope,
  to,
  type FloatDType,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../base/errors.js';
import { normalizePixels, type LoadedModel } from '../models/index.js';

export interface EncodeOptions {
  /** Number format of the towers; features are always float32. `float32` by default. */
  readonly precision?: FloatDType;
  /** Texts or images at a time. 64 by default. */
  readonly batchSize?: number;
}

/** Runs a tower without gradients and gives its features, each row scaled to length 1. */
function towerFeatures(
  encode: () => Tensor,
  { precision = 'float32' }: EncodeOptions,
): Float32Array {
  const features = noGrad(() =>
    scope(() => {
      const raw = to(autocast(precision, encode), { dtype: 'float32', device: 'cpu' });
      return normalize(raw).toTypedArray() as Float32Array;
    }),
  );
  if (!features.every(Number.isFinite)) {
    throw new BantamError(
      'The model gives features that are not finite, so nothing can be measured; use precision fp32, or an earlier checkpoint.',
    );
  }
  return features;
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
  const encode = (): Tensor => {
    const { device } = model.logitScale;
    const raw = fromTypedArray(pixels, { shape });
    return model.encodeImage(normalizePixels(to(raw, { device }), preprocess));
  };
  return towerFeatures(encode, options);
}

export interface EncodeTextsOptions extends EncodeOptions {
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Text features [N, D], float32, each row of length 1. Equal texts are computed once, and texts of
 * like length together, so that little padding is computed. The event loop runs between batches.
 */
export async function encodeTexts(
  { model, tokenizer, config }: LoadedModel,
  texts: readonly string[],
  options: EncodeTextsOptions = {},
): Promise<Tensor> {
  const { batchSize = 64, onProgress } = options;
  const width = config.embedDim;
  const lengths = new Map(texts.map((text) => [text, tokenizer.encode(text).length]));
  const shortestFirst = [...lengths].sort(([, a], [, b]) => a - b).map(([text]) => text);
  const rowOf = new Map<string, Float32Array>();
  for (let start = 0; start < shortestFirst.length; start += batchSize) {
    const batch = shortestFirst.slice(start, start + batchSize);
    const { ids, shape } = tokenizer.encodeBatch(batch, { length: 'longest' });
    const encode = (): Tensor => {
      const { device } = model.logitScale;
      return model.encodeText(to(fromTypedArray(ids, { shape }), { device }));
    };
    const features = towerFeatures(encode, options);
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
