import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { mapTensor, type Tensor } from '@bantam/torch';
import { at } from '../base/at.js';
import { dataFiles, readManifest, type GraphInfo, type Manifest } from './manifest.js';
import { RecordLog, type IndexRecord } from './record-log.js';

/** The model that made an index's vectors, as far as the index knows. */
export interface IndexModel {
  /** Hash of {@link identifyModel}. */
  readonly hash?: string;
  /** Its directory, relative to the folder that the index is in. */
  readonly path?: string;
}

/** Vectors that can be searched, and the records beside them. */
export interface VectorStore {
  /** [rows, width] float32, each row of length 1. */
  readonly images: Tensor;
  /** Vectors of the captions [rows, width], where they were embedded. */
  readonly captions?: Tensor;
  readonly rows: number;
  /** Rows that are not removed. */
  readonly size: number;
  /** True if the records have the source's labels and metadata. */
  readonly hasMetadata: boolean;
  readonly model: IndexModel;
  /** Data specification of the source. */
  readonly spec?: string;
  readonly graph?: GraphInfo & { readonly path: string };
  isRemoved(row: number): boolean;
  record(row: number): IndexRecord;
  /** Rows that are not removed, with their records, in order. */
  records(): Iterable<readonly [row: number, record: IndexRecord]>;
  close(): void;
}

/** A collection in a folder, open for reading: what is committed now. */
export async function openFolderStore(folder: string): Promise<VectorStore> {
  for (let attempt = 0; ; attempt++) {
    const manifest = await readManifest(folder);
    try {
      return folderStore(folder, manifest);
    } catch (error) {
      // Another process may have replaced the files after the manifest was read.
      const { generation } = await readManifest(folder);
      if (attempt > 2 || generation === manifest.generation) throw error;
    }
  }
}

function folderStore(folder: string, manifest: Manifest): VectorStore {
  const { rows, width, recordBytes, hasCaptions, model = {}, spec, graph } = manifest;
  const files = dataFiles(folder, manifest);
  const log = new RecordLog(files.records, { bytes: recordBytes, rows });
  const shape = [rows, width];
  const images = mapTensor(files.images, { dtype: 'float32', shape });
  const captions = hasCaptions ? mapTensor(files.captions, { dtype: 'float32', shape }) : undefined;
  const path = graph === undefined ? '' : join(folder, graph.file);
  return {
    images,
    ...(captions !== undefined && { captions }),
    rows,
    size: rows - log.removed,
    hasMetadata: true,
    model,
    ...(spec !== undefined && { spec }),
    ...(graph !== undefined && existsSync(path) && { graph: { ...graph, path } }),
    isRemoved: (row) => log.isRemoved(row),
    record: (row) => log.record(row),
    records: () => log.records(),
    close: () => {
      images.dispose();
      captions?.dispose();
      log.close();
    },
  };
}

/** Vectors of an embedding file, or in memory. */
export function recordStore(
  records: readonly IndexRecord[],
  images: Tensor,
  rest: Pick<VectorStore, 'model'> & Partial<Pick<VectorStore, 'captions' | 'spec'>>,
): VectorStore {
  return {
    images,
    ...rest,
    rows: records.length,
    size: records.length,
    hasMetadata: false,
    isRemoved: () => false,
    record: (row) => at(records, row),
    records: () => records.entries(),
    close: () => {
      images.dispose();
      rest.captions?.dispose();
    },
  };
}
