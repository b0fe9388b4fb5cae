import { existsSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  fromTypedArray,
  indexSelect,
  loadSafetensors,
  narrow,
  saveSafetensors,
  scope,
  TorchError,
  type LoadedSafetensors,
  type Tensor,
  type TensorParts,
} from '@bantam/torch';
import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';
import type { Source } from '../data/index.js';
import type { InferenceModel } from '../eval/index.js';
import { Collection } from './collection.js';
import { growCollection, type GrowOptions, type GrowSummary } from './grow.js';
import { identifyModel, storedName } from './model-identity.js';
import type { IndexRecord } from './record-log.js';
import { openFolderStore, recordStore, type VectorStore } from './store.js';

/** The safetensors format's limit for a header is 100 MB; keys and stamps are in it. */
const mostHeaderBytes = 90e6;
const partRows = 16_384;

export interface EmbedToFileOptions extends GrowOptions {
  /** Embed everything anew even if the file or an interrupted run has vectors of this model. */
  readonly fresh?: boolean;
}

/**
 * Embeds a source to a safetensors file: `image` and `text`, both [N, D] float32 with rows of length 1 in
 * the order of the source; `text` is the first caption of each image, a row of zeros where there is none,
 * and absent if no image has any. The metadata hold `keys` (a JSON list), `spec`, `model` (its directory,
 * relative to the file), `modelHash`, and `stamps` by which the next run knows what is unchanged.
 *
 * Vectors go to a folder beside the file, which is there until the file is complete: a killed run resumes
 * from it. A file that is there is brought up to date, if it is of the same model.
 *
 * @throws BantamError if no image can be read, or the keys do not fit into the file's header.
 */
export async function embedToFile(
  model: InferenceModel,
  source: Source,
  path: string,
  { fresh = false, ...options }: EmbedToFileOptions = {},
): Promise<GrowSummary & { readonly size: number; readonly hasCaptions: boolean }> {
  const width = model.loaded.config.embedDim;
  const { hash } = await identifyModel(model);
  const folder = `${path}.partial`;
  if (fresh) rmSync(folder, { recursive: true, force: true });
  const isResumed = existsSync(folder);
  using collection = await Collection.open(folder, { width });
  const { model: earlier } = collection.manifest;
  if (earlier !== undefined && earlier.hash !== hash) {
    throw new BantamError(
      `${folder} is what an interrupted run with another model left; delete it, or finish with that model.`,
    );
  }
  if (!isResumed && !fresh && existsSync(path)) takeOver(collection, path, hash);
  collection.commit({ spec: source.spec, model: { hash } });
  const summary = await growCollection(collection, model, source, {
    ...options,
    // The file has no room for them.
    metadata: false,
  });
  const { rows, hasCaptions } = await writeFile(collection, source, path, {
    spec: source.spec,
    model: storedName(model.name, dirname(path)),
    modelHash: hash,
  });
  rmSync(folder, { recursive: true });
  return { ...summary, size: rows, hasCaptions };
}

/** Opens a file that {@link embedToFile} wrote, or one like it with `image` and `keys`. */
export function openEmbeddingFile(path: string): VectorStore {
  const { image, text, records, metadata } = readFile(path);
  const { spec, model, modelHash } = metadata;
  return recordStore(records, image, {
    ...(text !== undefined && { captions: text }),
    ...(spec !== undefined && { spec }),
    model: {
      ...(model !== undefined && { path: model }),
      ...(modelHash !== undefined && { hash: modelHash }),
    },
  });
}

/** Starts a collection with the rows of a file of the same model. */
function takeOver(collection: Collection, path: string, hash: string): void {
  const { image, text, records, metadata } = readFile(path);
  try {
    // Without stamps nothing is known to be unchanged.
    if (metadata.modelHash !== hash || metadata.stamps === undefined) return;
    for (let start = 0; start < records.length; start += partRows) {
      const end = Math.min(start + partRows, records.length);
      const images = rowsOf(image, start, end);
      const captions = text === undefined ? undefined : rowsOf(text, start, end);
      for (let row = start; row < end; row++) {
        collection.add({
          record: at(records, row),
          image: at(images, row - start),
          ...(captions !== undefined && { caption: at(captions, row - start) }),
        });
      }
      collection.commit();
    }
  } finally {
    image.dispose();
    text?.dispose();
  }
}

/** Writes the rows of a collection to a file, in the order of the source and part by part. */
async function writeFile(
  collection: Collection,
  source: Source,
  path: string,
  facts: Readonly<Record<'spec' | 'model' | 'modelHash', string>>,
): Promise<{ readonly rows: number; readonly hasCaptions: boolean }> {
  const order = new Int32Array(source.size);
  let rows = 0;
  const taken = new Uint8Array(collection.manifest.rows);
  for (let index = 0; index < source.size; index++) {
    const row = collection.find(source.record(index).key);
    // Of two records with one key the first counts.
    if (row === undefined || at(taken, row) !== 0) continue;
    taken[row] = 1;
    order[rows++] = row;
  }
  const records = Array.from(order.subarray(0, rows), (row) => collection.record(row));
  const keys = JSON.stringify(records.map(({ key }) => key));
  const stamps = JSON.stringify(records.map(({ stamp = null }) => stamp));
  const captions = JSON.stringify(records.map(({ caption = null }) => caption));
  if (Buffer.byteLength(keys) > mostHeaderBytes) {
    throw new BantamError(
      `The keys of ${rows} images do not fit into the header of ${path}; make an index of them with "bantam index".`,
    );
  }
  const fits = Buffer.byteLength(keys + stamps + captions) <= mostHeaderBytes;
  const store = await openFolderStore(collection.folder);
  try {
    const parts = (from: Tensor): TensorParts => ({
      dtype: 'float32',
      shape: [rows, from.dim(1)],
      parts: () => gatherParts(from, order.subarray(0, rows)),
    });
    const tensors = new Map([['image', parts(store.images)]]);
    if (store.captions !== undefined) tensors.set('text', parts(store.captions));
    const lists = { keys, ...(fits && { stamps, captions }) };
    saveSafetensors(path, tensors, { metadata: { ...lists, ...facts } });
    return { rows, hasCaptions: store.captions !== undefined };
  } finally {
    store.close();
  }
}

function* gatherParts(from: Tensor, order: Int32Array): Generator<Tensor, void, undefined> {
  for (let start = 0; start < order.length; start += partRows) {
    const index = BigInt64Array.from(order.subarray(start, start + partRows), BigInt);
    using part = scope(() => indexSelect(from, 0, fromTypedArray(index)));
    yield part;
  }
}

function rowsOf(tensor: Tensor, start: number, end: number): Float32Array[] {
  const width = tensor.dim(1);
  const values = scope(() => narrow(tensor, 0, start, end - start).toTypedArray() as Float32Array);
  return Array.from({ length: end - start }, (_, row) =>
    values.subarray(row * width, (row + 1) * width),
  );
}

interface EmbeddingFile {
  readonly image: Tensor;
  readonly text: Tensor | undefined;
  readonly records: readonly IndexRecord[];
  readonly metadata: Readonly<Record<string, string | undefined>>;
}

function readFile(path: string): EmbeddingFile {
  let loaded: LoadedSafetensors;
  try {
    loaded = loadSafetensors(path);
  } catch (error) {
    if (error instanceof TorchError) throw new BantamError(error.message);
    throw error;
  }
  const { tensors, metadata } = loaded;
  try {
    const image = tensors.get('image');
    const text = tensors.get('text');
    const keys = readList(metadata.keys);
    if (image?.dtype !== 'float32' || image.rank !== 2 || keys === undefined) {
      throw new BantamError(
        `${path} does not hold embedded images with their keys; make it with "bantam embed".`,
      );
    }
    if (image.dim(0) !== keys.length) {
      throw new BantamError(
        `There are ${keys.length} keys for ${image.dim(0)} embedded images in ${path}; embed them anew.`,
      );
    }
    const isPaired = text?.dtype === 'float32' && text.shape.join() === image.shape.join();
    const stamps = readList(metadata.stamps);
    const captions = readList(metadata.captions);
    const records = keys.map((key, row): IndexRecord => {
      const [stamp, caption] = [stamps?.[row], captions?.[row]];
      return { key: String(key), ...(stamp && { stamp }), ...(caption && { caption }) };
    });
    return { image, text: isPaired ? text : undefined, records, metadata };
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  }
}

/** A JSON list of texts, with null where there is none; undefined if it is no such list. */
function readList(text: string | undefined): readonly (string | null)[] | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    const isList =
      Array.isArray(value) && value.every((item) => item === null || typeof item === 'string');
    return isList ? value : undefined;
  } catch {
    return undefined;
  }
}
