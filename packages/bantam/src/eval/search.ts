import type { LoadedModel } from '../models/index.js';
import { encodeTexts, type EncodeOptions } from './encode.js';
import type { Hit, ImageIndex } from './image-index.js';

export interface SearchOptions extends EncodeOptions {
  /** How many images to find. 8 by default. */
  readonly k?: number;
}

/** The images of an index that fit each query best, best first. */
export async function search(
  loaded: LoadedModel,
  index: ImageIndex,
  queries: readonly string[],
  { k = 8, ...options }: SearchOptions = {},
): Promise<Hit[][]> {
  const features = await encodeTexts(loaded, queries, options);
  const values = features.toTypedArray() as Float32Array;
  features.dispose();
  const { embedDim } = loaded.config;
  return queries.map((_, row) =>
    index.nearest(values.subarray(row * embedDim, (row + 1) * embedDim), k),
  );
}
