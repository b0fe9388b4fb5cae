import { BantamError } from '../base/errors.js';
import { causeOf } from '../base/system-error.js';
import { decodeImage, evalTransform, readLocation } from '../data/index.js';
import { encodePixels, encodeTexts, type InferenceModel } from '../eval/index.js';
import { identifyModel } from './model-identity.js';
import type { QueryVector } from './query.js';
import type { Hit, SearchIndex, VectorSearch } from './search-index.js';

/**
 * Part of a query: a text, an image (its path, or the bytes of an image file), or the key of an
 * image of the index. A negative `weight` means "not that"; 1 by default.
 */
export type QueryPart = { readonly weight?: number } & (
  { readonly text: string } | { readonly image: string | Uint8Array } | { readonly key: string }
);

/** A text, or the parts of a query. */
export type Query = string | readonly QueryPart[];

export type SearchOptions = Omit<VectorSearch, 'queries' | 'model'>;

/**
 * The images of an index that fit a query best, best first. The model must be the one that made the
 * index; its precision may differ.
 *
 * @throws BantamError for another model, an image that cannot be read, an unknown key or column.
 */
export async function search(
  model: InferenceModel,
  index: SearchIndex,
  query: Query,
  options: SearchOptions = {},
): Promise<Hit[]> {
  const { hash } = await identifyModel(model);
  index.checkModel(hash);
  const parts = await encodeQuery(model, index, query);
  const [hits = []] = await index.search({ ...options, queries: [parts], model: hash });
  return hits;
}

/** The vectors of a query's parts. */
export async function encodeQuery(
  { loaded, precision }: InferenceModel,
  index: SearchIndex,
  query: Query,
): Promise<QueryVector[]> {
  const parts = typeof query === 'string' ? [{ text: query }] : query;
  const vectors: QueryVector[] = [];
  for (const part of parts) {
    const weight = part.weight === undefined ? {} : { weight: part.weight };
    if ('text' in part) {
      const features = await encodeTexts(loaded, [part.text], { precision });
      const vector = features.toTypedArray() as Float32Array;
      features.dispose();
      vectors.push({ kind: 'text', vector, ...weight });
    } else if ('key' in part) {
      vectors.push({ kind: 'image', vector: index.vectorOf(part.key), ...weight });
    } else {
      const pixels = evalTransform(await readImage(part.image), loaded.preprocess);
      const shape = [1, pixels.height, pixels.width, 3] as const;
      const vector = encodePixels(loaded, { pixels: pixels.data, shape }, { precision });
      vectors.push({ kind: 'image', vector, ...weight });
    }
  }
  return vectors;
}

async function readImage(image: string | Uint8Array) {
  const name = typeof image === 'string' ? image : 'The image of the query';
  try {
    const bytes = typeof image === 'string' ? await readLocation({ path: image }) : image;
    return await decodeImage(bytes);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new BantamError(`There is no file ${name} to search with; name an existing image.`);
    }
    const reason = causeOf(error);
    throw new BantamError(`${name} cannot be read as an image: ${reason.replace(/\.$/, '')}.`);
  }
}
