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
import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';
import {
  normalizePixels,
  runRecorded,
  type Clip,
  type LoadedModel,
  type Preprocess,
} from '../models/index.js';
import type { Tokenizer } from '../text/index.js';
import { eachBatch, type Computed, type Helpers } from './helpers/helpers.js';

export interface EncodeOptions {
  /** Number format of the towers; features are always float32. `float32` by default. */
  readonly precision?: FloatDType;
  /** Texts or images at a time. 64 by default. */
  readonly batchSize?: number;
  /** Processes that compute a part of the batches; none by default. */
  readonly helpers?: Helpers | undefined;
  /** Ends the work after the present batch: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** A tower's computation for an input. */
interface Computation {
  readonly model: Clip;
  /** Name of what is computed; the same for all inputs. */
  readonly what: string;
  readonly input: Tensor;
  /** The features, and further outputs. */
  readonly encode: (input: Tensor) => readonly [Tensor, ...Tensor[]];
}

/** Runs a tower without gradients and gives its features, scaled to length 1, and other outputs. */
function towerOutputs(
  { model, what, input, encode }: Computation,
  { precision = 'float32' }: EncodeOptions,
): [Float32Array, ...Float32Array[]] {
  const { device } = model.logitScale;
  const compute = (input: Tensor): Tensor[] => {
    const [pooled, ...others] = autocast(precision, () => encode(input), { device }).map((output) =>
      to(output, { dtype: 'float32', device: 'cpu' }),
    ) as [Tensor, ...Tensor[]];
    return [normalize(pooled), ...others];
  };
  const outputs = noGrad(() =>
    runRecorded(model, { what: `${what} ${precision}`, input }, compute).map(
      (output) => output.toTypedArray() as Float32Array,
    ),
  ) as [Float32Array, ...Float32Array[]];
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

/** The constants of {@link normalizePixels}, which are part of a computation. */
function normalization({ mean, std }: Preprocess): string {
  return `${mean.join()} ${std.join()}`;
}

/** Features of a batch of images: B·D values, float32, each row scaled to length 1. */
export function encodePixels(
  { model, preprocess }: Pick<LoadedModel, 'model' | 'preprocess'>,
  { pixels, shape }: EncodePixelsInput,
  options: EncodeOptions = {},
): Float32Array {
  const { device } = model.logitScale;
  return scope(() => {
    const input = fromTypedArray(pixels, { shape, device });
    const encode = (raw: Tensor): [Tensor] => [model.encodeImage(normalizePixels(raw, preprocess))];
    return towerOutputs(
      { model, what: `image ${normalization(preprocess)}`, input, encode },
      options,
    )[0];
  });
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
  return scope(() => {
    const input = fromTypedArray(pixels, { shape, device });
    const encode = (raw: Tensor): [Tensor, Tensor] => {
      const { pooled, representation } = model.visual.encode(normalizePixels(raw, preprocess));
      return [pooled, representation];
    };
    const what = `image and representation ${normalization(preprocess)}`;
    const [embedding, representation = embedding] = towerOutputs(
      { model, what, input, encode },
      options,
    );
    return { embedding, representation };
  });
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
  const { batchSize = 64, maxTokens, signal, onProgress } = options;
  const tokenizer = maxTokens === undefined ? whole : shortened(whole, maxTokens);
  const width = config.embedDim;
  const { device } = model.logitScale;
  const lengths = new Map(texts.map((text) => [text, tokenizer.encode(text).length]));
  const shortestFirst = [...lengths].sort(([, a], [, b]) => a - b).map(([text]) => text);
  const count = Math.ceil(shortestFirst.length / batchSize);
  const textsOf = (batch: number) =>
    shortestFirst.slice(batch * batchSize, (batch + 1) * batchSize);
  const compute = async (batch: number): Promise<Computed<null>> => {
    const { ids, shape } = tokenizer.encodeBatch(textsOf(batch), { length: 'longest' });
    const features = scope(() => {
      const input = fromTypedArray(ids, { shape, device });
      const encode = (given: Tensor): [Tensor] => [model.encodeText(given)];
      return towerOutputs({ model, what: 'text', input, encode }, options)[0];
    });
    await setImmediate();
    return { facts: null, rows: textsOf(batch).length, tables: [features] };
  };
  // A single batch cannot be divided.
  const helpers = count > 1 ? options.helpers : undefined;
  await helpers?.give({ kind: 'texts', texts, batchSize, ...encodingOf(options, maxTokens) });
  const rowOf = new Map<string, Float32Array>();
  let batch = 0;
  for await (const { tables } of eachBatch(count, compute, helpers)) {
    const features = at(tables, 0);
    textsOf(batch++).forEach((text, row) => {
      rowOf.set(text, features.subarray(row * width, (row + 1) * width));
    });
    onProgress?.(rowOf.size, shortestFirst.length);
    signal?.throwIfAborted();
  }
  const rows = new Float32Array(texts.length * width);
  texts.forEach((text, row) => {
    const features = rowOf.get(text);
    if (features !== undefined) rows.set(features, row * width);
  });
  return fromTypedArray(rows, { shape: [texts.length, width] });
}

function encodingOf({ precision }: EncodeOptions, maxTokens: number | undefined) {
  return {
    ...(precision !== undefined && { precision }),
    ...(maxTokens !== undefined && { maxTokens }),
  };
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
