import { setImmediate } from 'node:timers/promises';
import { fromTypedArray, type Tensor } from '@bantam/torch';
import {
  evalBatches,
  Quarantine,
  type Geometry,
  type QuarantinedSample,
  type Source,
} from '../data/index.js';
import { BantamError } from '../base/errors.js';
import type { LoadedModel } from '../models/index.js';
import { encodeImages, encodePixels, encodeTexts, type EncodeOptions } from './encode.js';

/** How far an embedding pass has come. */
export interface EmbedProgress {
  readonly stage: 'images' | 'texts';
  readonly done: number;
  readonly total: number;
}

export interface EmbedSourceOptions extends EncodeOptions {
  /** Embeds only the first caption of each image, or all. `first` by default. */
  readonly captions?: 'first' | 'all';
  /** Changes to how the model resizes images; none by default. */
  readonly geometry?: Partial<Geometry>;
  /** Cuts captions to this many tokens; the model's context by default. */
  readonly maxTokens?: number;
  /** Keeps the vectors before the projection as well. False by default. */
  readonly representations?: boolean;
  /** Counts broken images; by default a new one, which never stops: what can be read is embedded. */
  readonly quarantine?: Quarantine;
  readonly onProgress?: (progress: EmbedProgress) => void;
}

/** A source in a model's space. Rows follow the order of the source; broken images have none. */
export interface Embeddings {
  /** Record of the source that each row of `image` is. */
  readonly records: Int32Array;
  /** Key of each row of `image`. */
  readonly keys: readonly string[];
  /** Image features [N, D], float32, each row of length 1. */
  readonly image: Tensor;
  /** Vectors before the projection [N, W], float32, if asked for. */
  readonly representation?: Tensor;
  /** The distinct captions, in the order in which they first come. */
  readonly captions: readonly string[];
  /** Features of `captions` [M, D], float32, each row of length 1. */
  readonly text: Tensor;
  /** Captions of each row of `image`, the plainest first, as rows of `text`. */
  readonly captionsOf: readonly (readonly number[])[];
  /** Images that could not be read. */
  readonly quarantined: readonly QuarantinedSample[];
}

/**
 * Embeds the images and captions of a source, each once. The event loop runs between batches.
 *
 * @throws BantamError when no image can be read, or more are broken than a given quarantine allows; the
 * reason of `signal` when that comes.
 */
export async function embedSource(
  loaded: LoadedModel,
  source: Source,
  options: EmbedSourceOptions = {},
): Promise<Embeddings> {
  const { captions: which = 'first', onProgress } = options;
  // Texts come last: a model that cannot encode them is refused before its work.
  if (hasCaptions(source)) requireTokenizer(loaded);
  const images = await embedAllImages(loaded, source, options);
  const rowOf = new Map<string, number>();
  const captionsOf = Array.from(images.records, (index) => {
    const { captions } = source.record(index);
    const used = which === 'all' ? new Set(captions) : captions.slice(0, 1);
    return Array.from(used, (caption) => {
      const row = rowOf.get(caption) ?? rowOf.size;
      rowOf.set(caption, row);
      return row;
    });
  });
  const captions = [...rowOf.keys()];
  const text = await encodeTexts(loaded, captions, {
    ...options,
    onProgress: (done, total) => onProgress?.({ stage: 'texts', done, total }),
  });
  return { ...images, captions, text, captionsOf };
}

/** Records that {@link hasCaptions} looks at. */
const LOOKED_AT = 1000;

/** True if one of the first records has a caption. */
function hasCaptions(source: Source): boolean {
  const count = Math.min(source.size, LOOKED_AT);
  return Array.from({ length: count }, (_, index) => source.record(index)).some(
    ({ captions }) => captions.length > 0,
  );
}

/** @throws BantamError if the model has no tokenizer: reading it does. */
function requireTokenizer({ tokenizer }: LoadedModel): unknown {
  return tokenizer;
}

/** Frees the features. */
export function disposeEmbeddings({ image, representation, text }: Embeddings): void {
  image.dispose();
  representation?.dispose();
  text.dispose();
}

/** Features of consecutive images. */
export interface ImageFeatures {
  /** Records of the source, in order; broken images are left out. */
  readonly indices: Int32Array;
  /** A row of length 1 for each of them. */
  readonly features: Float32Array;
  /** Their vectors before the projection, if asked for. */
  readonly representations?: Float32Array;
}

export interface EmbedImagesOptions
  extends EncodeOptions, Pick<EmbedSourceOptions, 'geometry' | 'representations'> {
  /** The records to embed; all by default. */
  readonly indices?: ArrayLike<number>;
  /** Counts broken images. */
  readonly quarantine: Quarantine;
}

/** Embeds images of a source batch by batch; the next batch is being read meanwhile. */
export async function* embedImages(
  loaded: Pick<LoadedModel, 'model' | 'preprocess'>,
  source: Source,
  {
    indices,
    quarantine,
    batchSize = 64,
    geometry,
    representations = false,
    ...options
  }: EmbedImagesOptions,
): AsyncGenerator<ImageFeatures, void, undefined> {
  const preprocess = { ...loaded.preprocess, ...geometry };
  const chosen = indices === undefined ? {} : { indices };
  const batches = evalBatches(source, { preprocess, batchSize, quarantine, ...chosen });
  let next = batches.next();
  for (;;) {
    const { done, value: batch } = await next;
    if (done === true) return;
    next = batches.next();
    // A failure of the next batch is thrown where it is awaited.
    next.catch(() => undefined);
    const { images, size, height, width } = batch;
    const { indices: read } = batch;
    const rows = { pixels: images, shape: [size, height, width, 3] } as const;
    if (representations) {
      const { embedding, representation } = encodeImages(loaded, rows, options);
      yield { indices: read, features: embedding, representations: representation };
    } else {
      yield { indices: read, features: encodePixels(loaded, rows, options) };
    }
  }
}

async function embedAllImages(
  loaded: LoadedModel,
  source: Source,
  options: EmbedSourceOptions,
): Promise<Omit<Embeddings, 'captions' | 'text' | 'captionsOf'>> {
  const { quarantine = new Quarantine({ maxFraction: 1 }), onProgress } = options;
  const records = new Int32Array(source.size);
  const features = new Rows(source.size);
  const representations = new Rows(source.size);
  let count = 0;
  for await (const batch of embedImages(loaded, source, { ...options, quarantine })) {
    const { length } = batch.indices;
    records.set(batch.indices, count);
    features.add(batch.features, length);
    if (batch.representations !== undefined) representations.add(batch.representations, length);
    count += length;
    onProgress?.({ stage: 'images', done: count, total: source.size });
    await setImmediate();
    options.signal?.throwIfAborted();
  }
  if (count === 0) {
    throw new BantamError(`No image of "${source.spec}" can be read; check the files.`);
  }
  const read = records.slice(0, count);
  return {
    records: read,
    keys: Array.from(read, (index) => source.record(index).key),
    image: features.tensor(),
    ...(options.representations === true && { representation: representations.tensor() }),
    quarantined: quarantine.samples,
  };
}

/** Vectors of equal width, which the first batch decides. */
class Rows {
  #values = new Float32Array(0);
  #count = 0;
  #width = 0;

  constructor(readonly most: number) {}

  add(values: Float32Array, count: number): void {
    if (this.#count === 0) {
      this.#width = values.length / count;
      this.#values = new Float32Array(this.most * this.#width);
    }
    this.#values.set(values, this.#count * this.#width);
    this.#count += count;
  }

  /** [N, W] */
  tensor(): Tensor {
    const shape = [this.#count, this.#width];
    return fromTypedArray(this.#values.subarray(0, this.#count * this.#width), { shape });
  }
}
