import type { Batch } from '../../data/index.js';
import type { ModelConfig } from '../../models/index.js';
import type { Tokenizer } from '../../text/index.js';
import type { BatchStream } from '../loop/trainer.js';

/** Options of {@link noiseBatch}. */
export interface NoiseBatchOptions {
  /** Samples. */
  size: number;
  /** Edge of the pictures in pixels. */
  edge: number;
  /** Names of the views; default: the picture alone. */
  views?: readonly string[];
}

/** Pictures of noise, every caption another one. */
export function noiseBatch({ size, edge, views = ['image'] }: NoiseBatchOptions): Batch {
  const pixels = new Uint8Array(size * edge * edge * 3);
  // A linear congruential sequence: all that matters is that values differ.
  let state = 1;
  for (let i = 0; i < pixels.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pixels[i] = state >>> 24;
  }
  const captions = Array.from({ length: size }, (_, i) => String(i));
  return {
    images: Object.fromEntries(views.map((view) => [view, pixels])),
    height: edge,
    width: edge,
    size,
    captions,
    indices: Int32Array.from(captions, Number),
    keys: captions,
    epoch: 0,
    next: { epoch: 0, position: 0 },
  };
}

/** One batch again and again. */
export function repeated(batch: Batch): BatchStream {
  return {
    waitSeconds: 0,
    async *batches() {
      for (;;) yield await Promise.resolve(batch);
    },
  };
}

/** Texts of one length: ids that follow from the number that a text begins with, then the highest id. */
export function fixedLengthTokenizer({ text }: ModelConfig, length: number): Tokenizer {
  const eotId = text.vocabSize - 1;
  const encode = (caption: string): number[] =>
    Array.from({ length }, (_, i) =>
      i === length - 1 ? eotId : (Number.parseInt(caption, 10) * 31 + i) % eotId,
    );
  return {
    vocabSize: text.vocabSize,
    contextLength: text.contextLength,
    sotId: -1,
    eotId,
    padId: 0,
    encode,
    encodeBatch: (texts) => ({
      ids: BigInt64Array.from(texts.flatMap(encode), BigInt),
      shape: [texts.length, length],
    }),
    decode: (ids) => Array.from(ids, String).join(' '),
    save: () => Promise.reject(new RangeError('These texts are for measuring only.')),
  };
}
