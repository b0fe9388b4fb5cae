/**
 * RandAugment (Cubuk et al., arXiv 1909.13719): a few operations sampled from a list, all at one
 * magnitude on a scale of 10.
 */
import { rotate, shearX, shearY, translateX, translateY, type AffineStyle } from './affine.js';
import { adjustSharpness } from './blur.js';
import * as color from './color.js';
import type { Pixels } from '../images/pixels.js';
import type { CounterRng } from '../counter-rng.js';
import { autoContrast, equalize, posterize, solarize, solarizeAdd } from './tone.js';

/** An operation and the map from a level (0 to 1) to its argument. */
interface Definition {
  readonly argument: (level: number) => number;
  /** The argument is negated with probability 0.5. */
  readonly signed?: boolean;
  readonly apply: (pixels: Pixels, argument: number, style: AffineStyle) => void;
}

const none = (): number => 0;
const factor = (level: number): number => level * 1.8 + 0.1;
const shear = (level: number): number => level * 0.3;
const way = (level: number): number => level * 0.45;

/**
 * Every operation of RandAugment with the maps of timm's `rand-m…`, which are those of TensorFlow's
 * EfficientNet: some grow weaker as the level rises, and solarize does nothing at the greatest.
 */
const randOps = {
  identity: { argument: none, apply: () => undefined },
  'auto-contrast': {
    argument: none,
    apply: ({ data }) => {
      autoContrast(data);
    },
  },
  equalize: {
    argument: none,
    apply: ({ data }) => {
      equalize(data);
    },
  },
  invert: {
    argument: none,
    apply: ({ data }) => {
      color.invert(data);
    },
  },
  posterize: {
    argument: (level) => Math.trunc(level * 4),
    apply: ({ data }, bits) => {
      posterize(data, bits);
    },
  },
  solarize: {
    argument: (level) => Math.trunc(level * 256),
    apply: ({ data }, threshold) => {
      solarize(data, threshold);
    },
  },
  'solarize-add': {
    argument: (level) => Math.trunc(level * 110),
    apply: ({ data }, add) => {
      solarizeAdd(data, add);
    },
  },
  color: {
    argument: factor,
    apply: ({ data }, by) => {
      color.adjustSaturation(data, by);
    },
  },
  contrast: {
    argument: factor,
    apply: ({ data }, by) => {
      color.adjustContrast(data, by);
    },
  },
  brightness: {
    argument: factor,
    apply: ({ data }, by) => {
      color.adjustBrightness(data, by);
    },
  },
  sharpness: { argument: factor, apply: adjustSharpness },
  rotate: { argument: (level) => level * 30, signed: true, apply: rotate },
  'shear-x': { argument: shear, signed: true, apply: shearX },
  'shear-y': { argument: shear, signed: true, apply: shearY },
  'translate-x': { argument: way, signed: true, apply: translateX },
  'translate-y': { argument: way, signed: true, apply: translateY },
} as const satisfies Readonly<Record<string, Definition>>;

/** The argument that an operation has at a level from 0 to 1, without its sign. */
export function levelArgument(op: RandOp, level: number): number {
  return randOps[op].argument(level);
}

export type RandOp = keyof typeof randOps;

/** The names of all operations. */
export const randOpNames = Object.keys(randOps) as [RandOp, ...RandOp[]];

/** The list of RandAugment's paper. */
export const paperOps: readonly RandOp[] = [
  'identity',
  'auto-contrast',
  'equalize',
  'rotate',
  'solarize',
  'color',
  'posterize',
  'contrast',
  'brightness',
  'sharpness',
  'shear-x',
  'shear-y',
  'translate-x',
  'translate-y',
];

/** timm's list, which InfoMin takes: that of the paper without identity, with two inversions more. */
export const timmOps: readonly RandOp[] = [
  'auto-contrast',
  'equalize',
  'invert',
  'rotate',
  'posterize',
  'solarize',
  'solarize-add',
  'color',
  'contrast',
  'brightness',
  'sharpness',
  'shear-x',
  'shear-y',
  'translate-x',
  'translate-y',
];

export interface RandAugmentParameters {
  /** Operations that are sampled, with replacement. */
  readonly n: number;
  /** From 0 to 10. */
  readonly magnitude: number;
  /** Standard deviation of the magnitude, sampled for each operation and clipped to 0 … 10. */
  readonly magnitudeStd: number;
  /** Probability that a sampled operation is applied. */
  readonly chance: number;
  readonly operations: readonly RandOp[];
}

/** Applies RandAugment in place. */
export function randAugment(
  pixels: Pixels,
  { n, magnitude, magnitudeStd, chance, operations }: RandAugmentParameters,
  { rng, style }: { rng: CounterRng; style: () => AffineStyle },
): void {
  for (let i = 0; i < n; i++) {
    const op = operations[rng.integer(operations.length)];
    if (op === undefined || !rng.chance(chance)) continue;
    const sampled = magnitudeStd > 0 ? magnitude + magnitudeStd * rng.normal() : magnitude;
    const level = Math.min(10, Math.max(0, sampled)) / 10;
    const { argument, signed, apply }: Definition = randOps[op];
    const amount = argument(level);
    apply(pixels, signed === true && rng.chance(0.5) ? -amount : amount, style());
  }
}
