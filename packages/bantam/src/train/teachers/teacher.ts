import {
  add,
  clamp,
  div,
  flatten,
  fromTypedArray,
  mul,
  narrow,
  resize,
  scope,
  sub,
  tensor,
  to,
  type Device,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import type { PairFeatures } from '../../losses/index.js';
import { modelFlops, type Clip, type LoadedModel, type Preprocess } from '../../models/index.js';
import { crc32c } from '../run-dir/tensorboard.js';
import { requireTensor } from '../strategies/features.js';
import type { CostOptions, Features, StepBatch } from '../strategies/strategy.js';
import type { ReinforcedSet } from './reinforced-set.js';

/** A trained model that another learns from: frozen, in evaluation mode. */
export interface Teacher {
  readonly embedDim: number;
  /** The scale that makes its cosines logits. */
  readonly logitScale: number;
  /** The model's directory, or that of the reinforced data set in its place. */
  readonly directory: string;
  /** Checksum of its weights, or of its set's manifest. */
  readonly fingerprint: number;
  /** Features of the batch's images and captions. */
  encode(batch: StepBatch): PairFeatures;
  /** FLOPs of one forward pass for a sample. */
  flops(cost: CostOptions): number;
}

/** A teacher that computes, with its own tokenizer and preprocessing. */
export interface TeacherModel extends Teacher {
  readonly device: Device;
  /** Features [B, D] of normalised pixels. */
  encodeImages(pixels: Tensor): Tensor;
  /** Features [B, D] of captions. */
  encodeTexts(captions: readonly string[]): Tensor;
}

/** Options of {@link createTeacher}. */
export interface TeacherOptions {
  /** The model's directory, for messages. */
  readonly directory: string;
  /** Preparation of the batch's pixels. */
  readonly preprocess: Preprocess;
}

/** @throws BantamError where the model has no tokenizer that can be read. */
export function createTeacher(
  loaded: LoadedModel,
  { directory, preprocess }: TeacherOptions,
): TeacherModel {
  const { config, model } = loaded;
  const tokenizer = tokenizerOf(loaded, directory);
  const encodeImages = (pixels: Tensor): Tensor =>
    model.encodeImage(preparedFor(loaded.preprocess, pixels, preprocess));
  const encodeTexts = (captions: readonly string[]): Tensor => {
    const { ids, shape } = tokenizer.encodeBatch(captions);
    const { device } = model.logitScale;
    return model.encodeText(fromTypedArray(ids, { shape, device }));
  };
  return {
    embedDim: config.embedDim,
    logitScale: Math.exp(model.logitScale.item()),
    directory,
    device: model.logitScale.device,
    fingerprint: fingerprintOf(model),
    encodeImages,
    encodeTexts,
    encode: ({ images, captions }) => ({
      image: encodeImages(requireTensor(images, 'image')),
      text: encodeTexts(captions),
    }),
    flops({ captionTokens }) {
      // Its tokenizer may need a few more or less than the student's.
      const tokens = Math.min(captionTokens, config.text.contextLength);
      const { image, text } = modelFlops(config, { captionTokens: tokens });
      return image + text;
    },
  };
}

/** A checksum of the first number of every parameter: hardly any training leaves it unchanged. */
function fingerprintOf(model: Clip): number {
  const first = scope(() =>
    model.parameters().map((parameter) => narrow(flatten(parameter), 0, 0, 1).item()),
  );
  return crc32c(new Uint8Array(Float64Array.from(first).buffer));
}

function tokenizerOf(loaded: LoadedModel, directory: string): LoadedModel['tokenizer'] {
  try {
    return loaded.tokenizer;
  } catch (error) {
    if (!(error instanceof BantamError)) throw error;
    throw new BantamError(
      `The model in ${directory} cannot be a teacher, which tokenizes captions itself. ${error.message}`,
    );
  }
}

/**
 * Pixels [B, 3, S, S] converted from one preparation to another: its mean and deviation, and resized
 * to its size (bicubic, with antialias, kept within black and white) if that differs.
 */
export function preparedFor(wanted: Preprocess, pixels: Tensor, given: Preprocess): Tensor {
  const sameSize = pixels.dim(3) === wanted.size;
  const sameStatistics = [wanted.mean, wanted.std].join() === [given.mean, given.std].join();
  if (sameSize && sameStatistics) return pixels;
  const { dtype, device } = pixels;
  const perChannel = (values: readonly number[]): Tensor =>
    tensor(
      values.map((value) => [[value]]),
      { dtype: dtype === 'float64' ? dtype : 'float32', device },
    );
  const shades = add(mul(pixels, perChannel(given.std)), perChannel(given.mean));
  const sized = sameSize
    ? shades
    : clamp(resize(shades, [wanted.size, wanted.size], { mode: 'bicubic' }), { min: 0, max: 1 });
  return div(sub(sized, perChannel(wanted.mean)), perChannel(wanted.std));
}

/** The teachers' features, which {@link teacherFeatures} reads back. */
export function encodeTeachers(teachers: readonly Teacher[], batch: StepBatch): Features {
  return Object.fromEntries(
    teachers.flatMap((teacher, i) => {
      const { image, text } = teacher.encode(batch);
      return [[`teacher${i}.image`, image] as const, [`teacher${i}.text`, text] as const];
    }),
  );
}

/** The features of teacher i that {@link encodeTeachers} computed. */
export function teacherFeatures(features: Features, i: number): PairFeatures {
  return {
    image: requireTensor(features, `teacher${i}.image`),
    text: requireTensor(features, `teacher${i}.text`),
  };
}

/** The teachers whose embeddings a reinforced data set stores: they compute nothing. */
export function storedTeachers(set: ReinforcedSet): Teacher[] {
  const { folder, manifest } = set;
  // Another seed or augmentation gives other embeddings.
  const fingerprint = crc32c(Buffer.from(JSON.stringify(manifest)));
  return manifest.teachers.map(({ embedDim, logitScale }, teacher) => ({
    embedDim,
    logitScale,
    directory: folder,
    fingerprint,
    encode({ images, indices, replayed }) {
      if (replayed === undefined) throw new RangeError('The batch is not of a reinforced set.');
      const { views, captions } = replayed;
      const { device, dtype } = requireTensor(images, 'image');
      return {
        image: to(set.image({ teacher, indices, which: views }), { device, dtype, wait: false }),
        text: to(set.text({ teacher, indices, which: captions }), { device, dtype, wait: false }),
      };
    },
    flops: () => 0,
  }));
}
