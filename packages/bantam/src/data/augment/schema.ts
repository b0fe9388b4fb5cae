/** Augmentation as plain data: a typed list of operations, each declared once. */
import * as v from 'valibot';
import { didYouMean } from '../../base/did-you-mean.js';
import { BantamError } from '../../base/errors.js';
import {
  atLeast,
  count,
  finite,
  group,
  isObject,
  listOf,
  oneOf,
  read,
  setting,
  unitInterval,
} from '../../base/schema.js';
import { paperOps, randOpNames } from './rand-augment.js';

/** A range of two numbers, the lower first. */
export type Range = readonly [number, number];

function range(fallback: [number, number], description: string) {
  const wanted = 'two positive numbers, lower first';
  const pair = v.tuple([v.number(wanted), v.number(wanted)], wanted);
  const ordered = v.check<[number, number], string>(
    ([low, high]) => low > 0 && low <= high,
    wanted,
  );
  return setting(v.pipe(pair, ordered), fallback, description);
}

function between(least: number, most: number) {
  const wanted = `a number from ${least} to ${most}`;
  return v.pipe(v.number(wanted), v.minValue(least, wanted), v.maxValue(most, wanted));
}

const probability = (fallback: number) =>
  setting(unitInterval(), fallback, 'Probability of the operation.');

const interpolation = () =>
  setting(oneOf('bicubic', 'bilinear'), 'bicubic', 'Filter of the resize.');

function level() {
  const wanted = 'three levels from 0 to 255';
  return v.pipe(
    v.number(wanted),
    v.integer(wanted),
    v.minValue(0, wanted),
    v.maxValue(255, wanted),
  );
}

/** How an affine operation interpolates, as PIL's `Image.transform` does, and its fill color. */
const affineSettings = {
  resampling: setting(
    oneOf('bilinear', 'bicubic', 'either'),
    'either',
    'Interpolation; `either` samples one of the two for each image.',
  ),
  fillColor: setting(
    v.tuple([level(), level(), level()], 'three levels from 0 to 255'),
    [128, 128, 128],
    'Color of the pixels that come in from outside the image.',
  ),
};

/** Settings of an affine operation by a uniform amount in [−most, most]. */
const affine = (most: number, unit: string) => ({
  p: probability(1),
  most: setting(atLeast(0), most, `Greatest amount either way, ${unit}.`),
  ...affineSettings,
});

const magnitude = (description: string) => setting(atLeast(0), 0, description);

/** The operations, by name; every setting is optional. */
export const opSchemas = {
  /**
   * Crops a box of a random fraction of the area and a random aspect ratio (log-uniform) and resizes
   * it to the target size; the box is chosen as torchvision's `RandomResizedCrop` chooses it.
   */
  'random-resized-crop': group({
    op: v.literal('random-resized-crop'),
    p: probability(1),
    scale: range([0.9, 1], 'Fraction of the area.'),
    ratio: range([3 / 4, 4 / 3], 'Aspect ratio, width over height.'),
    interpolation: interpolation(),
  }),
  /** The evaluation transform: resize, then centre crop. */
  resize: group({
    op: v.literal('resize'),
    interpolation: interpolation(),
    resizeMode: setting(
      oneOf('shortest', 'squash'),
      'shortest',
      'Resizes the shortest side and crops, or both sides.',
    ),
  }),
  /** Mirrors left and right. */
  flip: group({ op: v.literal('flip'), p: probability(0.5) }),
  /** Shifts either way along each axis. */
  shift: group({
    op: v.literal('shift'),
    p: probability(1),
    most: setting(atLeast(0), 0.1, 'Greatest shift, a fraction of the side.'),
    fill: setting(between(0, 255), 255, 'Gray level of the pixels that come in.'),
  }),
  /**
   * Brightness, contrast, saturation by a factor in [1 − x, 1 + x] and hue by a fraction of the
   * circle in [−x, x], in random order, as torchvision's `ColorJitter`.
   */
  'color-jitter': group({
    op: v.literal('color-jitter'),
    p: probability(1),
    brightness: magnitude('Greatest change of the brightness.'),
    contrast: magnitude('Greatest change of the contrast.'),
    saturation: magnitude('Greatest change of the saturation.'),
    hue: setting(between(0, 0.5), 0, 'Greatest change of the hue, a fraction of the circle.'),
  }),
  grayscale: group({ op: v.literal('grayscale'), p: probability(0.1) }),
  invert: group({ op: v.literal('invert'), p: probability(0.1) }),
  /** Dark lines on white where colors change: 255 − gain · |gradient|. */
  edges: group({
    op: v.literal('edges'),
    p: probability(0.1),
    gain: range([1, 3], 'Darkness of the lines.'),
  }),
  /** Black where the luma is below a threshold, white elsewhere: line art of outlined drawings. */
  'dark-strokes': group({
    op: v.literal('dark-strokes'),
    p: probability(0.1),
    threshold: range([40, 90], 'Luma below which pixels become black.'),
    least: setting(
      unitInterval(),
      0.05,
      'Fraction of dark pixels below which the image stays unchanged.',
    ),
  }),
  'gaussian-blur': group({
    op: v.literal('gaussian-blur'),
    p: probability(0.5),
    sigma: range([0.1, 2], 'Standard deviation in pixels of the target.'),
  }),
  /** Inverts the levels from `threshold` on. */
  solarize: group({
    op: v.literal('solarize'),
    p: probability(0.2),
    threshold: setting(between(0, 256), 128, 'Level from which levels are inverted.'),
  }),
  /** Keeps the upper bits of each level. */
  posterize: group({
    op: v.literal('posterize'),
    p: probability(0.2),
    bits: setting(
      v.pipe(between(1, 8), v.integer('a whole number from 1 to 8')),
      4,
      'Bits that are kept.',
    ),
  }),
  /** Stretches each channel to the whole range of levels. */
  'auto-contrast': group({ op: v.literal('auto-contrast'), p: probability(0.2) }),
  /** Flattens the histogram of each channel. */
  equalize: group({ op: v.literal('equalize'), p: probability(0.2) }),
  sharpness: group({
    op: v.literal('sharpness'),
    p: probability(0.2),
    factor: range([0.1, 1.9], 'Factor: below 1 smooths, above 1 sharpens.'),
  }),
  rotate: group({ op: v.literal('rotate'), ...affine(30, 'in degrees') }),
  /** Shifts each row in proportion to its distance from the top. */
  'shear-x': group({ op: v.literal('shear-x'), ...affine(0.3, 'per row') }),
  /** Shifts each column in proportion to its distance from the left. */
  'shear-y': group({ op: v.literal('shear-y'), ...affine(0.3, 'per column') }),
  'translate-x': group({
    op: v.literal('translate-x'),
    ...affine(0.45, 'a fraction of the width'),
  }),
  'translate-y': group({
    op: v.literal('translate-y'),
    ...affine(0.45, 'a fraction of the height'),
  }),
  /** RandAugment (Cubuk et al., arXiv 1909.13719). */
  'rand-augment': group({
    op: v.literal('rand-augment'),
    p: probability(1),
    n: setting(count(), 2, 'Operations that are sampled, with replacement.'),
    magnitude: setting(between(0, 10), 10, 'Magnitude of all operations.'),
    magnitudeStd: setting(
      v.pipe(finite(), v.minValue(0, 'a number of at least 0')),
      0,
      'Standard deviation of the magnitude, sampled for each operation and clipped to 0 … 10.',
    ),
    chance: setting(unitInterval(), 1, 'Probability that a sampled operation is applied.'),
    operations: setting(
      v.pipe(
        listOf(oneOf(...randOpNames)),
        v.minLength(1, `a list of some of ${randOpNames.join(', ')}`),
      ),
      [...paperOps],
      'Operations to sample from.',
    ),
    ...affineSettings,
  }),
};

/** Schema of an {@link ImageAugment}, for configurations and editors. */
export const augmentSchema = listOf(v.variant('op', Object.values(opSchemas)));

/** Name of an image operation. */
export type OpName = keyof typeof opSchemas;

type Frozen<T> = T extends readonly unknown[]
  ? Readonly<T>
  : T extends object
    ? { readonly [K in keyof T]: Frozen<T[K]> }
    : T;

/** All settings of an operation. */
export type ResolvedOp<N extends OpName = OpName> = {
  [K in N]: Frozen<v.InferOutput<(typeof opSchemas)[K]>>;
}[N];

/** An operation with the settings that differ from its defaults. */
export type ImageOp = { [N in OpName]: Frozen<v.InferInput<(typeof opSchemas)[N]>> }[OpName];

/**
 * Operations on an image, in order: plain data that is printed, saved and compared. `p` is the
 * probability of an operation; every random decision comes from the CounterRng of a sample.
 */
export type ImageAugment = readonly ImageOp[];

/** An {@link ImageAugment} with every setting spelt out. */
export type ResolvedAugment = readonly ResolvedOp[];

/**
 * The augmentation with every setting spelt out.
 *
 * @throws BantamError for an unknown operation or setting, and for a value that is not accepted.
 */
export function resolveAugment(augment: ImageAugment): ResolvedAugment {
  return augment.map(readOperation);
}

/** Checks an operation from outside, such as a JSON file, and fills in its defaults. */
export function readOperation(step: unknown): ResolvedOp {
  const op: unknown = isObject(step) ? step.op : undefined;
  if (!isOpName(op)) {
    const names = Object.keys(opSchemas);
    const name = typeof op === 'string' ? op : JSON.stringify(step);
    throw new BantamError(
      `There is no image operation "${name}"${didYouMean(name, names)}; there are ${names.join(', ')}.`,
    );
  }
  return read(opSchemas[op], step, { where: `the image operation "${op}"` });
}

function isOpName(name: unknown): name is OpName {
  return typeof name === 'string' && Object.hasOwn(opSchemas, name);
}
