import { setImmediate } from 'node:timers/promises';
import {
  autocast,
  fromTypedArray,
  noGrad,
  scope,
  type FloatDType,
  type Tensor,
} from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { normalizePixels, type Preprocess } from '../../models/index.js';
import { toUnit } from '../strategies/features.js';
import type { TeacherModel } from './teacher.js';

/** Teachers, and how they encode. */
export interface Encoder {
  readonly teachers: readonly TeacherModel[];
  /** Preparation of the images, the same for all teachers. */
  readonly preprocess: Preprocess;
  readonly precision: FloatDType;
  /** Captions at a time. */
  readonly batchSize: number;
}

/** Each teacher's features [rows · D] of pixels [rows, size, size, 3], each row of length 1. */
export function encodeViews(
  pixels: Uint8Array,
  { teachers, preprocess, precision }: Encoder,
): Float32Array[] {
  const { size } = preprocess;
  const shape = [pixels.length / (size * size * 3), size, size, 3];
  return scope(() => {
    const { device } = at(teachers, 0);
    const prepared = normalizePixels(fromTypedArray(pixels, { shape, device }), preprocess);
    return teachers.map((teacher) =>
      unitFeatures(teacher, precision, () => teacher.encodeImages(prepared)),
    );
  });
}

/**
 * Each teacher's features [captions · D], each row of length 1. Equal captions are computed once; the
 * event loop runs between batches.
 */
export async function encodeCaptions(
  captions: readonly string[],
  { teachers, precision, batchSize }: Encoder,
): Promise<Float32Array[]> {
  const rowOf = new Map<string, number>();
  for (const caption of captions) rowOf.set(caption, rowOf.get(caption) ?? rowOf.size);
  const distinct = [...rowOf.keys()];
  const all: Float32Array[] = [];
  for (const teacher of teachers) {
    const width = teacher.embedDim;
    const found = new Float32Array(distinct.length * width);
    for (let start = 0; start < distinct.length; start += batchSize) {
      const batch = distinct.slice(start, start + batchSize);
      const rows = unitFeatures(teacher, precision, () => teacher.encodeTexts(batch));
      found.set(rows, start * width);
      await setImmediate();
    }
    const features = new Float32Array(captions.length * width);
    for (const [i, caption] of captions.entries()) {
      const row = rowOf.get(caption);
      if (row === undefined) throw new RangeError(`"${caption}" was not encoded.`);
      features.set(found.subarray(row * width, (row + 1) * width), i * width);
    }
    all.push(features);
  }
  return all;
}

/** @throws BantamError if they are not finite. */
function unitFeatures(
  { directory, device }: TeacherModel,
  precision: FloatDType,
  encode: () => Tensor,
): Float32Array {
  const features = noGrad(() =>
    scope(() => toUnit(autocast(precision, encode, { device })).toTypedArray() as Float32Array),
  );
  if (features.every(Number.isFinite)) return features;
  throw new BantamError(
    `The teacher in ${directory} gives features that are not finite; use --precision fp32, or another teacher.`,
  );
}
