import {
  fromTypedArray,
  indexSelect,
  loadSafetensors,
  saveSafetensors,
  scope,
  TorchError,
} from '@bantam/torch';
import { BantamError } from '../base/errors.js';
import type { Embeddings } from './embed.js';
import { ImageIndex } from './image-index.js';

export interface SaveEmbeddingsOptions {
  /** Specification of the source, kept so that the images can be found again. */
  readonly spec?: string;
  /** The model directory, kept so that a search needs no more than the file. */
  readonly model?: string;
}

/**
 * Writes `image` and `text`, both [N, D] float32 with rows of length 1 in the order of the source,
 * to a safetensors file; `text` is the first caption of each image. The metadata holds `keys`
 * (a JSON list) and what the options say.
 */
export function saveEmbeddings(
  path: string,
  { image, text, keys, captionsOf }: Embeddings,
  { spec, model }: SaveEmbeddingsOptions = {},
): void {
  const metadata = {
    keys: JSON.stringify(keys),
    ...(spec !== undefined && { spec }),
    ...(model !== undefined && { model }),
  };
  scope(() => {
    const first = BigInt64Array.from(captionsOf, ([row = 0]) => BigInt(row));
    const paired = indexSelect(text, 0, fromTypedArray(first));
    saveSafetensors(
      path,
      new Map([
        ['image', image],
        ['text', paired],
      ]),
      { metadata },
    );
  });
}

/** An embedding file that is open for searching. */
export interface EmbeddingFile extends SaveEmbeddingsOptions {
  readonly index: ImageIndex;
}

/**
 * Opens the images of a file that {@link saveEmbeddings} wrote.
 *
 * @throws BantamError when the file is missing, damaged, or none of images with keys.
 */
export function openEmbeddings(path: string): EmbeddingFile {
  const { features, width, metadata } = readImages(path);
  const { spec, model } = metadata;
  return {
    index: new ImageIndex({ keys: parseKeys(metadata.keys, path), features, width }),
    ...(spec !== undefined && { spec }),
    ...(model !== undefined && { model }),
  };
}

function readImages(path: string) {
  try {
    return scope(() => {
      const { tensors, metadata } = loadSafetensors(path);
      const image = tensors.get('image');
      if (image?.dtype !== 'float32' || image.rank !== 2) throw noEmbeddings(path);
      const features = image.toTypedArray() as Float32Array;
      return { features, width: image.dim(1), metadata };
    });
  } catch (error) {
    if (error instanceof TorchError) throw new BantamError(error.message);
    throw error;
  }
}

function parseKeys(text: string | undefined, path: string): string[] {
  if (text === undefined) throw noEmbeddings(path);
  try {
    return JSON.parse(text) as string[];
  } catch {
    throw noEmbeddings(path);
  }
}

function noEmbeddings(path: string): BantamError {
  return new BantamError(
    `${path} does not hold embedded images with their keys; make it with "bantam embed".`,
  );
}
