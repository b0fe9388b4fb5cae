import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../base/errors.js';
import { readJson } from '../base/json-file.js';
import { count, finite, flag, group, index, listOf, oneOf, read, text } from '../base/schema.js';

/** Version of the folder's layout that this code reads and writes. */
const formatVersion = 1;

/** The model whose vectors a collection holds. */
const modelSchema = group({
  // SHA-256 of what decides its features, see `identifyModel`.
  hash: text(),
  // Its directory, relative to the collection; absent if the vectors came from elsewhere.
  path: v.optional(text()),
  // Side length in pixels of the images that it read.
  imageSize: v.optional(count()),
  // How images were brought to that size, and their channel statistics.
  preprocess: v.optional(v.record(v.string(), v.unknown())),
});

/** Recall of a graph's answers at a candidate count. */
const recallSchema = group({
  candidates: count(),
  // Fraction of the ten images with the highest cosines that the graph finds.
  image: v.optional(finite()),
  text: v.optional(finite()),
  // Milliseconds of a query on all threads, queries in a batch.
  milliseconds: finite(),
});

/** A graph for approximate search, and the recall that was measured when it was built. */
const graphSchema = group({
  file: text(),
  // Rows that it holds: the first of the collection.
  rows: index(),
  connectivity: count(),
  // Candidates that a search takes from the graph and scores exactly.
  candidates: count(),
  recall: listOf(recallSchema),
  // Rows that the graph held when its recall was measured; 0: not yet.
  measuredRows: index(),
});

const manifestSchema = group({
  formatVersion: v.literal(formatVersion, String(formatVersion)),
  // Values of a vector.
  width: count(),
  // Number in the names of the data files: one more each time that they are written anew.
  generation: count(),
  // Rows that are committed, removed ones included.
  rows: index(),
  // Bytes of the log of records that are committed.
  recordBytes: index(),
  // True if each row has the vector of its caption.
  hasCaptions: flag(),
  // Precision of the model that made the vectors.
  precision: v.optional(text()),
  // Data specification of the vectors' source.
  spec: v.optional(text()),
  // Folder that relative paths of the specification belong to, relative to the collection's.
  specFolder: v.optional(text()),
  // How the source's images are compared with those of before.
  unchanged: v.optional(oneOf('time', 'size', 'hash', 'key')),
  model: v.optional(modelSchema),
  graph: v.optional(graphSchema),
});

/** The commit point of a collection: what its files hold. Bytes beyond that do not count. */
export type Manifest = v.InferOutput<typeof manifestSchema>;
export type GraphInfo = v.InferOutput<typeof graphSchema>;
export type GraphRecall = v.InferOutput<typeof recallSchema>;

const fileName = 'index.json';

/** True if a folder holds a collection. */
export function holdsCollection(folder: string): boolean {
  return existsSync(join(folder, fileName));
}

/** @throws BantamError if there is no collection in the folder, or one of another version. */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, fileName);
  const value = await readJson(path, 'index');
  if (value === undefined) {
    throw new BantamError(
      `There is no index in ${folder}; make one with "bantam index ${folder} --model DIR --data SPEC".`,
    );
  }
  return read(manifestSchema, value, { where: path });
}

/** Commits: the files that the manifest speaks of must be on the disk before. */
export function writeManifest(folder: string, manifest: Manifest): void {
  writeFileAtomic(join(folder, fileName), [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)]);
}

/** A new collection's manifest. */
export function newManifest(width: number): Manifest {
  return { formatVersion, width, generation: 1, rows: 0, recordBytes: 0, hasCaptions: false };
}

/** Paths of the data files. */
export function dataFiles(
  folder: string,
  { generation }: Pick<Manifest, 'generation'>,
): { readonly images: string; readonly captions: string; readonly records: string } {
  return {
    images: join(folder, `images-${generation}.f32`),
    captions: join(folder, `captions-${generation}.f32`),
    records: join(folder, `records-${generation}.jsonl`),
  };
}
