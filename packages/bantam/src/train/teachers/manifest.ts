/** `reinforced.json`: what a reinforced data set was made of. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { FloatDType } from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { readJson } from '../../base/json-file.js';
import type { DeepReadonly } from '../../base/readonly.js';
import {
  anyObject,
  count,
  described,
  group,
  index,
  listOf,
  oneOf,
  positive,
  read,
  text,
} from '../../base/schema.js';
import {
  parseAugment,
  replayCaptions,
  resolveAugment,
  type ImageAugment,
  type Replay,
  type Source,
} from '../../data/index.js';

const teacherSchema = group({
  directory: described(text(), "The model's directory."),
  fingerprint: described(index(), 'Checksum of its weights.'),
  embedDim: described(count(), 'Length of its features.'),
  logitScale: described(positive(), 'Scale that makes its cosines logits.'),
});

const manifestSchema = group({
  bantam: v.literal('reinforced'),
  format: described(count(), 'Version of this file.'),
  data: described(text(), 'Specification of the data.'),
  records: described(count(), 'Records of the data.'),
  digest: described(text(), 'SHA-256 of the keys and the captions.'),
  seed: described(index(), 'Seed of the views and captions.'),
  augmentations: described(count(), 'Views of each image.'),
  captions: described(count(), 'Captions of each record.'),
  augment: described(listOf(anyObject()), 'Augmentation of the views.'),
  size: described(count(), 'Size of the images that the teachers saw, in pixels.'),
  decodeSide: described(count(), 'Shorter side that images are decoded to, in pixels.'),
  precision: described(oneOf('float32', 'bfloat16'), 'Type that the teachers computed in.'),
  store: described(oneOf('float32', 'bfloat16'), 'Type that the features are stored in.'),
  blockSize: described(count(), 'Records of a file.'),
  teachers: described(listOf(teacherSchema), 'The teachers.'),
});

/** A teacher whose features a reinforced data set holds. */
export type StoredTeacher = DeepReadonly<v.InferOutput<typeof teacherSchema>>;

type Read = DeepReadonly<v.InferOutput<typeof manifestSchema>>;

/** Origin of a reinforced data set: `reinforced.json`. */
export interface ReinforcedManifest extends Omit<Read, 'augment' | 'precision' | 'store'> {
  readonly augment: ImageAugment;
  readonly precision: FloatDType;
  readonly store: FloatDType;
}

/** The format that this version reads and writes. */
export const manifestFormat = 1;

/** Path of the manifest in a folder. */
export function manifestPath(folder: string): string {
  return join(folder, 'reinforced.json');
}

/**
 * The manifest of the reinforced data set in a folder; null if it has no `reinforced.json`.
 *
 * @throws BantamError if that is something else, or of another version.
 */
export async function readManifest(folder: string): Promise<ReinforcedManifest | null> {
  const path = manifestPath(folder);
  const value = await readJson(path, 'reinforced set');
  if (value === undefined) return null;
  const { augment, ...fields } = read(manifestSchema, value, { where: path });
  if (fields.format !== manifestFormat) {
    throw new BantamError(
      `The reinforced set in ${folder} has the format ${fields.format}, but this version reads ${manifestFormat}; make it anew.`,
    );
  }
  return { ...fields, augment: resolveAugment(parseAugment(JSON.stringify(augment))) };
}

/** The views and captions whose features a set holds. */
export function replayOf({
  seed,
  augmentations,
  captions,
  decodeSide,
}: Pick<ReinforcedManifest, keyof Replay>): Replay {
  return { seed, augmentations, captions, decodeSide };
}

/** SHA-256 of every record's key and of the captions that repeat. */
export function digestOf(source: Source, replay: Replay): string {
  const digest = createHash('sha256');
  for (let i = 0; i < source.size; i++) {
    digest.update(JSON.stringify([source.record(i).key, replayCaptions(source, i, replay)]));
  }
  return digest.digest('hex');
}
