import { existsSync } from 'node:fs';
import { resolveDevice } from '@bantam/torch';
import {
  Quarantine,
  replayBatches,
  replayCaptions,
  requireCaptions,
  resolveAugment,
  defaultDecodeSide,
  type ImageAugment,
  type QuarantinedSample,
  type QuarantineOptions,
  type Replay,
  type Source,
} from '../../data/index.js';
import { at } from '../../base/at.js';
import { UsageError } from '../../base/errors.js';
import type { LoadedModel, Preprocess } from '../../models/index.js';
import type { TrainSettings } from '../config/settings.js';
import { loadModels } from './load.js';
import { resolvePrecision } from '../../base/precision.js';
import { createTeacher, type TeacherModel } from './teacher.js';
import { blockCount, blockPath, blockRange, closeBlock, openBlock, writeBlock } from './blocks.js';
import { claimFolder } from './claim.js';
import { encodeCaptions, encodeViews, type Encoder } from './encode.js';
import { digestOf, manifestFormat, replayOf, type ReinforcedManifest } from './manifest.js';

/** Progress of {@link reinforceSource}. */
export interface ReinforceProgress {
  /** Records done by this run. */
  readonly done: number;
  /** Records that were missing when this run started. */
  readonly total: number;
}

/** Options of {@link reinforceSource}. */
export interface ReinforceOptions {
  /** Model directories of the teachers. */
  readonly teachers: readonly string[];
  /** Folder of the set; one that was started with the same settings is resumed. */
  readonly out: string;
  /** Views of each image; 8 by default. */
  readonly augmentations?: number;
  /** Captions of each record, sampled as in training; 4 by default. */
  readonly captions?: number;
  /** Augmentation of the views; the source's own by default. */
  readonly augment?: ImageAugment;
  /** Size of the images that the teachers see; the largest of their own by default. */
  readonly size?: number;
  /** Seed of the views and captions; 0 by default. */
  readonly seed?: number;
  /** Images or captions that pass through a teacher at once; 64 by default. */
  readonly batchSize?: number;
  /** Precision of the teachers; `auto` by default. */
  readonly precision?: Exclude<TrainSettings['precision'], 'fp64'>;
  /** Device of the teachers: `cpu`, `cuda`, `cuda:1`, `mps`; `auto` by default: a GPU if there is one. */
  readonly device?: string;
  /** Precision of the stored features; `bf16` by default. */
  readonly store?: 'bf16' | 'fp32';
  /** Records of a file; 256 by default. */
  readonly blockSize?: number;
  /** Threads that decode and augment images; 1 by default. */
  readonly workers?: number;
  /** Limit of broken images, beyond which the run stops. */
  readonly quarantine?: Omit<QuarantineOptions, 'path'>;
  /** Interrupts the work; the block in progress is lost. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ReinforceProgress) => void;
}

/** Result of {@link reinforceSource}. */
export interface ReinforceSummary {
  /** Folder of the set. */
  readonly out: string;
  readonly records: number;
  /** Records in blocks of an earlier run. */
  readonly kept: number;
  /** Records in blocks that this run wrote. */
  readonly written: number;
  readonly augmentations: number;
  readonly captions: number;
  /** Records of the whole set whose images could not be read; training leaves them out. */
  readonly broken: readonly QuarantinedSample[];
  readonly interrupted: boolean;
}

/**
 * Makes a reinforced data set: features of every teacher of augmented views and captions of each record,
 * each of length 1. Views and captions are functions of (seed, record, number), so that training
 * can make them again from the seed. Features are in files of whole blocks of records:
 * after a run that was interrupted at any moment, the same call makes the missing blocks, and the set
 * has the same bytes as without the interruption.
 *
 * @throws UsageError without a teacher; BantamError if the source has no captions, one of them cannot be read, the folder holds
 * another set, a block cannot be written, or too many images are broken.
 */
export async function reinforceSource(
  source: Source,
  options: ReinforceOptions,
): Promise<ReinforceSummary> {
  const { teachers: directories, out, device = 'auto', batchSize = 64, workers } = options;
  const { signal, onProgress } = options;
  if (directories.length === 0) {
    throw new UsageError('A reinforced set needs a teacher; name its model directory.');
  }
  requireCaptions(source);
  using loaded = await loadModels(directories, {
    device: resolveDevice(device),
    refusal: (directory) => `The model in ${directory} cannot be a teacher`,
  });
  const preprocess = sharedPreprocess(loaded.models, options.size);
  const teachers = loaded.models.map((model, i) =>
    createTeacher(model, { directory: at(directories, i), preprocess }),
  );
  const manifest = describe(source, teachers, { ...options, size: preprocess.size });
  await claimFolder(out, manifest);
  const { augmentations, captions, precision, blockSize } = manifest;
  const replay = replayOf(manifest);
  const broken = new Map<number, string>();
  const missing: { start: number; end: number }[] = [];
  for (let block = 0; block < blockCount(manifest); block++) {
    if (existsSync(blockPath(out, block))) {
      for (const [index, reason] of brokenOf(out, manifest, block)) broken.set(index, reason);
    } else {
      missing.push(blockRange(manifest, block));
    }
  }
  const total = missing.reduce((sum, { start, end }) => sum + end - start, 0);
  const encoder: Encoder = { teachers, preprocess, precision, batchSize };
  const batches = replayBatches(source, {
    replay,
    augment: manifest.augment,
    size: preprocess.size,
    ranges: missing,
    batchSize: Math.max(1, Math.floor(batchSize / augmentations)),
    quarantine: new Quarantine(options.quarantine),
    ...(workers !== undefined && { workers }),
  });
  let done = 0;
  let written = 0;
  let views = emptyViews(manifest, 0);
  for await (const batch of batches) {
    if (signal?.aborted === true) break;
    const block = Math.floor(batch.first / blockSize);
    const { start, end } = blockRange(manifest, block);
    if (batch.first === start) views = emptyViews(manifest, end - start);
    for (const [i, features] of encodeViews(batch.images, encoder).entries()) {
      const perRecord = features.length / batch.size;
      for (const index of batch.broken.keys()) {
        const first = (index - batch.first) * perRecord;
        features.fill(0, first, first + perRecord);
      }
      at(views, i).set(features, (batch.first - start) * perRecord);
    }
    for (const [index, reason] of batch.broken) broken.set(index, reason);
    done += batch.size;
    onProgress?.({ done, total });
    if (batch.first + batch.size < end) continue;
    const texts = await encodeCaptions(captionsOf(source, { start, end }, replay), encoder);
    const features = texts.map((text, i) => ({ image: at(views, i), text }));
    const own = [...broken].filter(([index]) => index >= start && index < end);
    writeBlock(out, manifest, block, { features, broken: new Map(own) });
    written += end - start;
  }
  const ofBroken = [...broken].sort(([a], [b]) => a - b);
  return {
    out,
    records: source.size,
    kept: source.size - total,
    written,
    augmentations,
    captions,
    broken: ofBroken.map(([index, reason]) => ({ key: source.record(index).key, reason })),
    interrupted: written < total,
  };
}

/** The first teacher's preprocessing at the size of the views; others convert from it. */
function sharedPreprocess(
  models: readonly LoadedModel[],
  size = Math.max(...models.map(({ preprocess }) => preprocess.size)),
): Preprocess {
  const [first] = models;
  if (first === undefined) throw new RangeError('There is no teacher.');
  return { ...first.preprocess, size };
}

function describe(
  source: Source,
  teachers: readonly TeacherModel[],
  {
    augmentations = 8,
    captions = 4,
    augment = source.augment,
    size,
    seed = 0,
    precision = 'auto',
    store = 'bf16',
    blockSize = 256,
  }: ReinforceOptions & { size: number },
): ReinforcedManifest {
  const replay = { seed, augmentations, captions, decodeSide: defaultDecodeSide(size) };
  return {
    bantam: 'reinforced',
    format: manifestFormat,
    data: source.spec,
    records: source.size,
    digest: digestOf(source, replay),
    ...replay,
    augment: resolveAugment(augment),
    size,
    precision: resolvePrecision(precision),
    store: resolvePrecision(store),
    blockSize,
    teachers: teachers.map(({ directory, fingerprint, embedDim, logitScale }) => {
      return { directory, fingerprint, embedDim, logitScale };
    }),
  };
}

function emptyViews(
  { augmentations, teachers }: ReinforcedManifest,
  records: number,
): Float32Array[] {
  return teachers.map(({ embedDim }) => new Float32Array(records * augmentations * embedDim));
}

function captionsOf(
  source: Source,
  { start, end }: { start: number; end: number },
  replay: Replay,
): string[] {
  return Array.from({ length: end - start }, (_, i) =>
    replayCaptions(source, start + i, replay),
  ).flat();
}

function brokenOf(
  folder: string,
  manifest: ReinforcedManifest,
  block: number,
): ReadonlyMap<number, string> {
  const open = openBlock(folder, manifest, block);
  closeBlock(open);
  return open.broken;
}
