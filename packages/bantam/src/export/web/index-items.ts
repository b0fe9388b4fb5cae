import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { BantamError } from '../../base/errors.js';
import {
  decodeLocation,
  openSource,
  type LabelSet,
  type LicenceNotice,
  type Source,
} from '../../data/index.js';
import type { IndexRecord, VectorStore } from '../../search/index.js';

/** An image of the index as the page shows it; `@bantam/web` reads a list of these. */
export interface IndexItem {
  readonly key: string;
  readonly caption: string;
  /** Path of the thumbnail in the page's folder; null where the image cannot be read. */
  readonly image: string | null;
}

/** The images of an index, described. */
export interface DescribedIndex {
  readonly items: readonly IndexItem[];
  /** Classes of the source, as labels to begin with, and their prompts; null: it has none. */
  readonly labelSet: Pick<LabelSet, 'classes' | 'templates'> | null;
  readonly licences: readonly LicenceNotice[];
  /** Images that the source does not have, or that cannot be read. */
  readonly missing: readonly string[];
}

export interface DescribeIndexOptions {
  /** Folder of the images, where the source that was embedded is gone. */
  readonly images?: string;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Sides of thumbnails in pixels: sharp at twice the size at which the page shows them. */
const thumbnailSide = 256;
/** Thumbnails in one folder: more are slow to list and to copy. */
const perFolder = 1000;
const atOnce = 4;

/** Writes a thumbnail of each image of an index, and says what the page shows beside it. */
export async function describeIndex(
  { spec, ...store }: VectorStore,
  folder: string,
  { images, onProgress }: DescribeIndexOptions = {},
): Promise<DescribedIndex> {
  const source = await openImages(spec, images);
  const rows = Array.from(store.records(), ([, record]) => record);
  const records = recordsByKey(source, new Set(rows.map(({ key }) => key)));
  const items: IndexItem[] = new Array<IndexItem>(rows.length);
  const missing: string[] = [];
  const queue = rows.entries();
  let done = 0;
  const worker = async (): Promise<void> => {
    for (const [row, indexed] of queue) {
      const { key } = indexed;
      const record = records.get(key);
      const caption = captionOf(indexed, source, record);
      const path = `thumbnails/${Math.floor(row / perFolder)}/${row % perFolder}.webp`;
      const isWritten =
        record !== undefined && (await writeThumbnail(source, record, join(folder, path)));
      if (!isWritten) missing.push(key);
      items[row] = { key, caption, image: isWritten ? path : null };
      onProgress?.(++done, rows.length);
    }
  };
  for (let first = 0; first < rows.length; first += perFolder) {
    await mkdir(join(folder, `thumbnails/${first / perFolder}`), { recursive: true });
  }
  await Promise.all(Array.from({ length: atOnce }, worker));
  const [labelSet = null] = Object.values(source.labelSets);
  return { items, labelSet, licences: source.licences, missing };
}

async function openImages(spec: string | undefined, images: string | undefined): Promise<Source> {
  const from = images === undefined ? spec : `images:${images}?caption=none`;
  if (from === undefined) {
    throw new BantamError(
      'The index does not say where its images are; name their folder with --images.',
    );
  }
  try {
    return await openSource(from);
  } catch (error) {
    if (!(error instanceof BantamError) || images !== undefined) throw error;
    throw new BantamError(
      `The images of the index cannot be opened: ${error.message.replace(/\.$/, '')}; run the command where "${from}" exists, or name their folder with --images.`,
    );
  }
}

function recordsByKey(source: Source, wanted: ReadonlySet<string>): Map<string, number> {
  const found = new Map<string, number>();
  for (let index = 0; index < source.size; index++) {
    const { key } = source.record(index);
    if (wanted.has(key)) found.set(key, index);
  }
  return found;
}

/** The caption of the index, else that of the source, else the key. */
function captionOf(
  { caption, key }: IndexRecord,
  source: Source,
  record: number | undefined,
): string {
  if (caption !== undefined) return caption;
  const [first] = record === undefined ? [] : source.record(record).captions;
  return first ?? key;
}

/** @returns whether the image could be read. */
async function writeThumbnail(source: Source, record: number, path: string): Promise<boolean> {
  const decoded = await decodeLocation(source.location(record)).catch(() => undefined);
  if (decoded === undefined) return false;
  const { width, height, data } = decoded;
  const thumbnail = sharp(data, { raw: { width, height, channels: 3 } })
    .resize(thumbnailSide, thumbnailSide, { fit: 'inside', withoutEnlargement: true })
    .webp({ quality: 80 });
  await writeFile(path, await thumbnail.toBuffer());
  return true;
}
