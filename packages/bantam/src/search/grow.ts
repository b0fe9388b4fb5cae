import { setImmediate } from 'node:timers/promises';
import { BantamError } from '../base/errors.js';
import { at } from '../base/at.js';
import { Quarantine, type QuarantinedSample, type Source } from '../data/index.js';
import { embedImages, encodeTexts, type Helpers, type InferenceModel } from '../eval/index.js';
import type { Collection } from './collection.js';
import { imageStamp, type Comparison } from './image-stamp.js';
import type { IndexRecord } from './record-log.js';

export interface GrowProgress {
  readonly stage: 'images';
  /** Records of the source that are dealt with. */
  readonly done: number;
  readonly total: number;
}

export interface GrowOptions {
  /** How images are compared with those of before; `time` by default. */
  readonly unchanged?: Comparison;
  /** Images at a time. 64 by default. */
  readonly batchSize?: number;
  /** Embeds first captions as well; by default if the source has any. */
  readonly captions?: boolean;
  /** Keeps labels and metadata beside the vectors. True by default. */
  readonly metadata?: boolean;
  /** Processes that compute a part of the batches; none by default. */
  readonly helpers?: Helpers | undefined;
  /** Keeps images that the source does not have any more. False by default. */
  readonly keepGone?: boolean;
  readonly onProgress?: (progress: GrowProgress) => void;
}

/** Changes that an update made to a collection. */
export interface GrowSummary {
  readonly added: number;
  /** Images whose bytes changed. */
  readonly changed: number;
  /** Images with other captions or metadata than before: their vectors were kept. */
  readonly relabelled: number;
  readonly unchanged: number;
  readonly dropped: number;
  /** Records whose key another record has as well; the first one counts. */
  readonly duplicates: number;
  readonly quarantined: readonly QuarantinedSample[];
}

/** Records that are compared, embedded and committed together: as many as take about ten seconds. */
const window = { least: 64, first: 256, most: 8192, seconds: 10 };

/**
 * Brings a collection to the state of a source: embeds what is new or changed, drops what is gone, keeps
 * what is unchanged. Each window of records ends with a commit, so that a killed run resumes there, and
 * memory holds one window, however many images there are.
 *
 * @throws BantamError if no image can be read.
 */
export async function growCollection(
  collection: Collection,
  model: InferenceModel,
  source: Source,
  options: GrowOptions = {},
): Promise<GrowSummary> {
  const { keepGone = false, onProgress } = options;
  const update = new Update(collection, model, source, options);
  let length = window.first;
  for (let start = 0; start < source.size;) {
    const begun = performance.now();
    const end = Math.min(start + length, source.size);
    await update.window(start, end);
    collection.commit();
    onProgress?.({ stage: 'images', done: end, total: source.size });
    await setImmediate();
    const seconds = (performance.now() - begun) / 1000;
    if (seconds < window.seconds / 2) length = Math.min(2 * length, window.most);
    if (seconds > window.seconds * 2) length = Math.max(length >> 1, window.least);
    start = end;
  }
  if (collection.size === 0) {
    throw new BantamError(`No image of "${source.spec}" can be read; check the files.`);
  }
  if (!keepGone) update.dropGone();
  collection.commit();
  return { ...update.counts, quarantined: update.quarantine.samples };
}

/** A record that needs a new vector. */
interface Outdated {
  readonly index: number;
  readonly record: IndexRecord;
  readonly isNew: boolean;
}

class Update {
  readonly counts = {
    added: 0,
    changed: 0,
    relabelled: 0,
    unchanged: 0,
    dropped: 0,
    duplicates: 0,
  };
  readonly quarantine = new Quarantine({ maxFraction: 1 });
  readonly #collection: Collection;
  readonly #model: InferenceModel;
  readonly #source: Source;
  readonly #options: GrowOptions;
  /** Rows of the start that the source still has. */
  readonly #kept: Uint8Array;
  /** Rows from here on are of this update. */
  readonly #firstNew: number;
  /** Vectors of the captions that came last: classes repeat theirs. */
  #captions = new Map<string, Float32Array>();
  /** Decided by the collection, or by the first records if it is empty. */
  #withCaptions: boolean | undefined;

  constructor(collection: Collection, model: InferenceModel, source: Source, options: GrowOptions) {
    this.#collection = collection;
    this.#model = model;
    this.#source = source;
    this.#options = options;
    this.#firstNew = collection.manifest.rows;
    this.#kept = new Uint8Array(this.#firstNew);
    this.#withCaptions = this.#firstNew > 0 ? collection.manifest.hasCaptions : options.captions;
  }

  /** Brings the records start … end − 1 up to date. */
  async window(start: number, end: number): Promise<void> {
    const { outdated, relabelled } = await this.#compare(start, end);
    const captions = [...outdated, ...relabelled].map(({ record }) => record.caption);
    const captionVector = await this.#encodeCaptions(captions);
    for (const { row, record } of relabelled) {
      const { image } = this.#collection.vectors(row);
      this.counts.relabelled++;
      this.#collection.add({ record, image, ...captionVector(record) });
    }
    const left = new Map(outdated.map((item) => [item.index, item]));
    const { loaded, precision } = this.#model;
    const { batchSize = 64, helpers, onProgress } = this.#options;
    const width = loaded.config.embedDim;
    const batches = embedImages(loaded, this.#source, {
      precision,
      indices: outdated.map(({ index }) => index),
      batchSize,
      helpers,
      quarantine: this.quarantine,
    });
    for await (const { indices, features } of batches) {
      for (const [position, index] of indices.entries()) {
        const item = left.get(index);
        if (item === undefined) continue;
        left.delete(index);
        const image = features.subarray(position * width, (position + 1) * width);
        const { record, isNew } = item;
        if (isNew) this.counts.added++;
        else this.counts.changed++;
        this.#collection.add({ record, image, ...captionVector(record) });
        onProgress?.({ stage: 'images', done: index + 1, total: this.#source.size });
      }
    }
    // An image that cannot be read any more is gone, though its record is there.
    for (const { record } of left.values()) this.#drop(record.key);
  }

  /** Removes the rows of the start that the source did not have. */
  dropGone(): void {
    for (const row of this.#collection.live()) {
      if (row >= this.#firstNew) break;
      if (at(this.#kept, row) !== 0) continue;
      this.#collection.remove(row);
      this.counts.dropped++;
    }
  }

  #drop(key: string): void {
    const row = this.#collection.find(key);
    if (row === undefined) return;
    this.#collection.remove(row);
    this.counts.dropped++;
  }

  async #compare(start: number, end: number) {
    const { unchanged = 'time', metadata = true } = this.#options;
    const outdated: Outdated[] = [];
    const relabelled: { readonly row: number; readonly record: IndexRecord }[] = [];
    const keys = new Set<string>();
    const indices = Array.from({ length: end - start }, (_, offset) => start + offset);
    const stamps = await inParallel(indices, (index) => imageStamp(this.#source, index, unchanged));
    for (const [offset, index] of indices.entries()) {
      const record = indexRecord(this.#source, index, { stamp: at(stamps, offset), metadata });
      const row = this.#collection.find(record.key);
      if (keys.has(record.key) || (row !== undefined && this.#isDone(row))) {
        this.counts.duplicates++;
        continue;
      }
      keys.add(record.key);
      if (row !== undefined) this.#kept[row] = 1;
      const before = row === undefined ? undefined : this.#collection.record(row);
      const isSame = unchanged === 'key' || before?.stamp === record.stamp;
      if (row === undefined || before === undefined || !isSame) {
        outdated.push({ index, record, isNew: row === undefined });
      } else if (isSameText(before, record)) this.counts.unchanged++;
      else relabelled.push({ row, record });
    }
    return { outdated, relabelled };
  }

  /** True for rows that this update has seen already. */
  #isDone(row: number): boolean {
    return row >= this.#firstNew || at(this.#kept, row) !== 0;
  }

  /** Encodes captions, each once, and gives the vector of a record's. */
  async #encodeCaptions(captions: readonly (string | undefined)[]) {
    const { loaded, precision } = this.#model;
    const width = loaded.config.embedDim;
    const wanted = new Set(captions.filter((caption) => caption !== undefined));
    this.#withCaptions ??= wanted.size > 0;
    if (!this.#withCaptions) return () => ({});
    const missing = [...wanted].filter((caption) => !this.#captions.has(caption));
    if (this.#captions.size > window.most) {
      this.#captions = new Map([...this.#captions].filter(([caption]) => wanted.has(caption)));
    }
    if (missing.length > 0) {
      const features = await encodeTexts(loaded, missing, {
        precision,
        helpers: this.#options.helpers,
      });
      const values = features.toTypedArray() as Float32Array;
      features.dispose();
      for (const [row, caption] of missing.entries()) {
        this.#captions.set(caption, values.slice(row * width, (row + 1) * width));
      }
    }
    const known = this.#captions;
    return ({ caption }: IndexRecord): { caption: Float32Array } => {
      const vector = caption === undefined ? undefined : known.get(caption);
      return { caption: vector ?? new Float32Array(width) };
    };
  }
}

function indexRecord(
  source: Source,
  index: number,
  { stamp, metadata }: { readonly stamp: string | undefined; readonly metadata: boolean },
): IndexRecord {
  const { key, captions, label, meta } = source.record(index);
  const [caption] = captions;
  return {
    key,
    ...(stamp !== undefined && { stamp }),
    ...(caption !== undefined && { caption }),
    ...(metadata && label !== undefined && { label }),
    ...(metadata && Object.keys(meta).length > 0 && { meta }),
  };
}

function isSameText(a: IndexRecord, b: IndexRecord): boolean {
  const textOf = ({ caption, label, meta = {} }: IndexRecord) =>
    JSON.stringify([caption, label, Object.entries(meta)]);
  return textOf(a) === textOf(b);
}

/** Results of a task for each item, a few tasks at a time. */
async function inParallel<T, R>(items: readonly T[], task: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const open = items.entries();
  const worker = async (): Promise<void> => {
    for (const [position, item] of open) results[position] = await task(item);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return results;
}
