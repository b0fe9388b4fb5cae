import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { FloatDType } from '@bantam/torch';
import {
  parseAugment,
  replayCaptions,
  resolveAugment,
  type ImageAugment,
  type Replay,
  type Source,
} from '../../data/index.js';
import { BantamError } from '../../base/errors.js';
import {
  count,
  index,
  listOf,
  object,
  oneOf,
  positive,
  readFields,
  section,
  text,
  type Fields,
} from '../../base/fields.js';
import { readJson } from '../../base/json-file.js';

/** A teacher whose features a reinforced set holds. */
export interface StoredTeacher {
  /** The model's directory. */
  readonly directory: string;
  /** Tells its weights from others. */
  readonly fingerprint: number;
  readonly embedDim: number;
  /** The factor that makes its cosines logits. */
  readonly logitScale: number;
}

/** What a reinforced set was made of, and how: `reinforced.json`. */
export interface ReinforcedManifest {
  readonly bantam: 'reinforced';
  readonly format: number;
  /** Specification of the data. */
  readonly data: string;
  readonly records: number;
  /** SHA-256 of the keys and the captions, see {@link digestOf}. */
  readonly digest: string;
  readonly seed: number;
  /** Views of each picture. */
  readonly augmentations: number;
  /** Captions of each record. */
  readonly captions: number;
  readonly augment: ImageAugment;
  /** Edge of the pictures that the teachers saw, in pixels. */
  readonly size: number;
  readonly decodeSide: number;
  /** What the teachers computed in. */
  readonly precision: FloatDType;
  /** What the features are stored in. */
  readonly store: FloatDType;
  /** Records of a file. */
  readonly blockSize: number;
  readonly teachers: readonly StoredTeacher[];
}

const manifestFields: Fields<Omit<ReinforcedManifest, 'augment'> & { augment: readonly object[] }> =
  {
    bantam: oneOf('reinforced'),
    format: count(),
    data: text(),
    records: count(),
    digest: text(),
    seed: index(0),
    augmentations: count(),
    captions: count(),
    augment: listOf(object()),
    size: count(),
    decodeSide: count(),
    precision: oneOf<FloatDType>('float32', 'bfloat16'),
    store: oneOf<FloatDType>('float32', 'bfloat16'),
    blockSize: count(),
    teachers: listOf(
      section<StoredTeacher>({
        directory: text(),
        fingerprint: index(0),
        embedDim: count(),
        logitScale: positive(1),
      }),
    ),
  };

/** The format that this version reads and writes. */
export const manifestFormat = 1;

export function manifestPath(folder: string): string {
  return join(folder, 'reinforced.json');
}

/**
 * What a folder says it holds; null where it has no `reinforced.json`.
 *
 * @throws BantamError when that is something else, or of another version.
 */
export async function readManifest(folder: string): Promise<ReinforcedManifest | null> {
  const path = manifestPath(folder);
  const value = await readJson(path, 'reinforced set');
  if (value === undefined) return null;
  const { augment, ...fields } = readFields(value, manifestFields, path);
  if (fields.format !== manifestFormat) {
    throw new BantamError(
      `The reinforced set in ${folder} has the format ${fields.format}, but this version reads ${manifestFormat}; make it anew.`,
    );
  }
  return { ...fields, augment: resolveAugment(parseAugment(JSON.stringify(augment))) };
}

/** The views and captions that a set holds features of. */
export function replayOf({
  seed,
  augmentations,
  captions,
  decodeSide,
}: Pick<ReinforcedManifest, keyof Replay>): Replay {
  return { seed, augmentations, captions, decodeSide };
}

/** SHA-256 of every record's key and of the captions that come again. */
export function digestOf(source: Source, replay: Replay): string {
  const digest = createHash('sha256');
  for (let i = 0; i < source.size; i++) {
    digest.update(JSON.stringify([source.record(i).key, replayCaptions(source, i, replay)]));
  }
  return digest.digest('hex');
}
