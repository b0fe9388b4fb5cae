import { setImmediate } from 'node:timers/promises';
import { fromTypedArray, type Tensor } from '@bantam/torch';
import { evalBatches, Quarantine, type QuarantinedSample, type Source } from '../data/index.js';
import { BantamError } from '../base/errors.js';
import type { LoadedModel } from '../models/index.js';
import { encodePixels, encodeTexts, type EncodeOptions } from './encode.js';

/** How far an embedding pass has come. */
export interface EmbedProgress {
  readonly stage: 'images' | 'texts';
  readonly done: number;
  readonly total: number;
}

export interface EmbedSourceOptions extends EncodeOptions {
  /** Embeds only the first caption of each image, or all. `first` by default. */
  readonly captions?: 'first' | 'all';
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
 * @throws BantamError when no image can be read, or more are broken than a given quarantine allows.
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
export function disposeEmbeddings({ image, text }: Embeddings): void {
  image.dispose();
  text.dispose();
}

/** Features of consecutive images. */
export interface ImageFeatures {
  /** Records of the source, in order; broken images are left out. */
  readonly indices: Int32Array;
  /** A row of length 1 for each of them. */
  readonly features: Float32Array;
}

export interface EmbedImagesOptions extends EncodeOptions {
  /** The records to embed; all by default. */
  readonly indices?: ArrayLike<number>;
  /** Counts broken images. */
  readonly quarantine: Quarantine;
}

/** Embeds images of a source batch by batch; the next batch is being read meanwhile. */
export async function* embedImages(
  loaded: Pick<LoadedModel, 'model' | 'preprocess'>,
  source: Source,
  { indices, quarantine, batchSize = 64, ...options }: EmbedImagesOptions,
): AsyncGenerator<ImageFeatures, void, undefined> {
  const { preprocess } = loaded;
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
    const features = encodePixels(
      loaded,
      { pixels: images, shape: [size, height, width, 3] },
      options,
    );
    yield { indices: batch.indices, features };
  }
}

async function embedAllImages(
  loaded: LoadedModel,
  source: Source,
  options: EmbedSourceOptions,
): Promise<Pick<Embeddings, 'records' | 'keys' | 'image' | 'quarantined'>> {
  const { quarantine = new Quarantine({ maxFraction: 1 }), onProgress } = options;
  const width = loaded.config.embedDim;
  const records = new Int32Array(source.size);
  const features = new Float32Array(source.size * width);
  let count = 0;
  for await (const batch of embedImages(loaded, source, { ...options, quarantine })) {
    records.set(batch.indices, count);
    features.set(batch.features, count * width);
    count += batch.indices.length;
    onProgress?.({ stage: 'images', done: count, total: source.size });
    await setImmediate();
  }
  if (count === 0) {
    throw new BantamError(`No image of "${source.spec}" can be read; check the files.`);
  }
  const read = records.slice(0, count);
  return {
    records: read,
    keys: Array.from(read, (index) => source.record(index).key),
    image: fromTypedArray(features.subarray(0, count * width), { shape: [count, width] }),
    quarantined: quarantine.samples,
  };
}
