import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { fromTypedArray, type Tensor } from '@bantam/torch';
import {
  evalBatches,
  Quarantine,
  type EvalBatch,
  type Geometry,
  type QuarantinedSample,
  type Source,
} from '../data/index.js';
import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';
import type { LoadedModel } from '../models/index.js';
import { encodeImages, encodePixels, encodeTexts, type EncodeOptions } from './encode.js';
import { eachBatch, type Computed } from './helpers/helpers.js';
import type { ImagesOrder } from './helpers/orders.js';

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

/** A batch of images that was read. */
interface ReadBatch {
  /** Null if no image of it can be read. */
  readonly batch: EvalBatch | null;
  readonly broken: readonly QuarantinedSample[];
}

/** Embeds images of a source batch by batch; the next batch is being read meanwhile. */
export async function* embedImages(
  loaded: Pick<LoadedModel, 'model' | 'preprocess'>,
  source: Source,
  options: EmbedImagesOptions,
): AsyncGenerator<ImageFeatures, void, undefined> {
  const { indices, quarantine, batchSize = 64, geometry, representations = false } = options;
  const total = indices?.length ?? source.size;
  const count = Math.ceil(total / batchSize);
  const helpers = count > 1 ? options.helpers : undefined;
  await helpers?.give(imagesOrder(source, options));
  const preprocess = { ...loaded.preprocess, ...geometry };
  const read = (batch: number): Promise<ReadBatch> => {
    const length = Math.min(batchSize, total - batch * batchSize);
    const chosen = Array.from({ length }, (_, i) => {
      const position = batch * batchSize + i;
      return indices === undefined ? position : at(indices, position);
    });
    return readBatch(source, preprocess, chosen);
  };
  const ahead = new Map<number, Promise<ReadBatch>>();
  const compute = async (item: number): Promise<Computed<BatchFacts>> => {
    const { batch, broken } = await (ahead.get(item) ?? read(item));
    ahead.clear();
    const following = item + (helpers?.size ?? 1);
    if (following < count) {
      const next = read(following);
      // A failure of the next batch is thrown where it is awaited.
      next.catch(() => undefined);
      ahead.set(following, next);
    }
    if (batch === null) return { facts: { indices: [], broken }, rows: 0, tables: [] };
    const { images, size, height, width } = batch;
    const rows = { pixels: images, shape: [size, height, width, 3] } as const;
    const facts = { indices: [...batch.indices], broken };
    if (!representations) {
      return { facts, rows: size, tables: [encodePixels(loaded, rows, options)] };
    }
    const { embedding, representation } = encodeImages(loaded, rows, options);
    return { facts, rows: size, tables: [embedding, representation] };
  };
  let tried = 0;
  for await (const { facts, tables } of eachBatch(count, compute, helpers)) {
    tried = Math.min(tried + batchSize, total);
    for (const sample of facts.broken) quarantine.add(sample, tried);
    const [features, found] = tables;
    if (features === undefined || facts.indices.length === 0) continue;
    yield {
      indices: Int32Array.from(facts.indices),
      features,
      ...(found !== undefined && { representations: found }),
    };
  }
}

/** Facts of a batch of images. */
interface BatchFacts {
  readonly indices: readonly number[];
  readonly broken: readonly QuarantinedSample[];
}

/** Reads one batch of records. */
async function readBatch(
  source: Source,
  preprocess: Geometry,
  indices: readonly number[],
): Promise<ReadBatch> {
  const quarantine = new Quarantine({ maxFraction: 1 });
  const batches = evalBatches(source, {
    ...{ preprocess, indices, quarantine },
    batchSize: indices.length,
  });
  const { value } = await batches.next();
  return { batch: value ?? null, broken: quarantine.samples };
}

function imagesOrder(
  source: Source,
  { indices, batchSize = 64, precision, geometry, representations = false }: EmbedImagesOptions,
): ImagesOrder {
  const chosen = indices === undefined ? null : Array.from(indices);
  return {
    kind: 'images',
    spec: source.spec,
    size: source.size,
    indices: chosen,
    digest: keysDigest(source, chosen),
    batchSize,
    representations,
    ...(precision !== undefined && { precision }),
    ...(geometry !== undefined && { geometry }),
  };
}

/** SHA-256 over the keys of records of a source; null: of all. */
export function keysDigest(source: Source, indices: readonly number[] | null): string {
  const digest = createHash('sha256');
  const count = indices?.length ?? source.size;
  for (let i = 0; i < count; i++) {
    digest.update(JSON.stringify(source.record(indices === null ? i : at(indices, i)).key));
  }
  return digest.digest('hex');
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
