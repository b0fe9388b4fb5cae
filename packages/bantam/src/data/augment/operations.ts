import {
  rotate,
  shearX,
  shearY,
  translateX,
  translateY,
  type AffineStyle,
  type Rgb,
} from './affine.js';
import { adjustSharpness, gaussianBlur } from './blur.js';
import * as colour from './color.js';
import { evalTransform } from '../images/eval-transform.js';
import { crop, type Box, type Pixels } from '../images/pixels.js';
import type { Draws } from '../counter-rng.js';
import { paperOps, randAugment, type RandAugmentParameters } from './rand-augment.js';
import { resample } from '../images/resample.js';
import { autoContrast, equalize, posterize, solarize } from './tone.js';

/** A range of two numbers, the lower first. */
export type Range = readonly [number, number];

/**
 * How an affine operation reads between pixels, as PIL's `Image.transform` does (`either` draws one
 * of the two for each picture), and the colour that comes in at the edges.
 */
export interface AffineParameters {
  resampling: 'bilinear' | 'bicubic' | 'either';
  fillColor: Rgb;
}

/** An affine operation by a uniform amount in [−most, most]. */
type Affine = { p: number; most: number } & AffineParameters;

/** The parameters of each operation; all are optional and have the defaults of {@link opTable}. */
export interface OpParameters {
  /**
   * Crops a box of a random share of the area (`scale`) and aspect ratio (log-uniform in `ratio`)
   * and resizes it to the target size, as torchvision's `RandomResizedCrop` chooses it.
   */
  'random-resized-crop': {
    p: number;
    scale: Range;
    ratio: Range;
    interpolation: 'bicubic' | 'bilinear';
  };
  /** The evaluation transform: resize, then centre crop. */
  resize: { interpolation: 'bicubic' | 'bilinear'; resizeMode: 'shortest' | 'squash' };
  /** Mirrors left and right. */
  flip: { p: number };
  /** Shifts by up to `most` of the edge either way, each axis, and fills with `fill` (grey level). */
  shift: { p: number; most: number; fill: number };
  /**
   * Brightness, contrast, saturation by a factor in [1 − x, 1 + x] and hue by a share of the circle
   * in [−x, x], in random order, as torchvision's `ColorJitter`.
   */
  'color-jitter': {
    p: number;
    brightness: number;
    contrast: number;
    saturation: number;
    hue: number;
  };
  grayscale: { p: number };
  invert: { p: number };
  /** Dark lines on white where colours change: 255 − gain · |gradient|. */
  edges: { p: number; gain: Range };
  /**
   * Black where the luma is below a threshold, white elsewhere: line art of outlined drawings.
   * Nothing happens where less than the share `least` of the picture is dark.
   */
  'dark-strokes': { p: number; threshold: Range; least: number };
  /** Gaussian blur by a standard deviation within `sigma`, in pixels of the target. */
  'gaussian-blur': { p: number; sigma: Range };
  /** Inverts the levels from `threshold` on. */
  solarize: { p: number; threshold: number };
  /** Keeps the upper `bits` of each level. */
  posterize: { p: number; bits: number };
  /** Stretches each channel to the whole range of levels. */
  'auto-contrast': { p: number };
  /** Flattens the histogram of each channel. */
  equalize: { p: number };
  /** Sharpness by a factor: below 1 smooths, above 1 sharpens. */
  sharpness: { p: number; factor: Range };
  /** Turns by up to `most` degrees either way. */
  rotate: Affine;
  /** Shifts each row by up to `most` of its distance from the top. */
  'shear-x': Affine;
  /** Shifts each column by up to `most` of its distance from the left. */
  'shear-y': Affine;
  /** Moves by up to the share `most` of the width. */
  'translate-x': Affine;
  /** Moves by up to the share `most` of the height. */
  'translate-y': Affine;
  /** `n` operations out of a list, all at one magnitude; {@link RandAugmentParameters}. */
  'rand-augment': { p: number } & RandAugmentParameters & AffineParameters;
}

export type OpName = keyof OpParameters;

interface OpContext {
  /** Edge of the target in pixels. */
  readonly size: number;
  readonly draws: Draws;
  /** Memory that a resized picture may come in. */
  readonly target?: Uint8Array;
}

interface OpDefinition<P> {
  readonly defaults: P;
  /** May write to the pixels that it is given, and return them, if `inPlace`. */
  readonly inPlace: boolean;
  readonly apply: (pixels: Pixels, parameters: P, context: OpContext) => Pixels;
}

const affineDefaults: AffineParameters = { resampling: 'either', fillColor: [128, 128, 128] };

function affineOp(
  most: number,
  apply: (pixels: Pixels, amount: number, style: AffineStyle) => void,
): OpDefinition<Affine> {
  return {
    defaults: { p: 1, most, ...affineDefaults },
    inPlace: true,
    apply: (pixels, parameters, { draws }) => {
      const amount = draws.uniform(-parameters.most, parameters.most);
      apply(pixels, amount, drawStyle(parameters, draws));
      return pixels;
    },
  };
}

function drawStyle({ resampling, fillColor }: AffineParameters, draws: Draws): AffineStyle {
  if (resampling !== 'either') return { resampling, fillColor };
  return { resampling: draws.chance(0.5) ? 'bilinear' : 'bicubic', fillColor };
}

/** Every operation with its defaults. */
export const opTable: { readonly [N in OpName]: OpDefinition<OpParameters[N]> } = {
  'random-resized-crop': {
    defaults: { p: 1, scale: [0.9, 1], ratio: [3 / 4, 4 / 3], interpolation: 'bicubic' },
    inPlace: false,
    apply: (pixels, { scale, ratio, interpolation }, { size, draws, target }) =>
      resample(pixels, {
        width: size,
        height: size,
        interpolation,
        box: drawBox(pixels, scale, ratio, draws),
        ...(target && { target }),
      }),
  },
  resize: {
    defaults: { interpolation: 'bicubic', resizeMode: 'shortest' },
    inPlace: false,
    apply: (pixels, options, { size }) =>
      evalTransform(pixels, { size, antialias: true, ...options }),
  },
  flip: {
    defaults: { p: 0.5 },
    inPlace: true,
    apply: (pixels) => (mirror(pixels), pixels),
  },
  shift: {
    defaults: { p: 1, most: 0.1, fill: 255 },
    inPlace: false,
    apply: (pixels, { most, fill }, { draws }) => {
      const left = drawShift(pixels.width, most, draws);
      const top = drawShift(pixels.height, most, draws);
      return crop(pixels, { ...pixels, left, top }, fill);
    },
  },
  'color-jitter': {
    defaults: { p: 1, brightness: 0, contrast: 0, saturation: 0, hue: 0 },
    inPlace: true,
    apply: (pixels, parameters, { draws }) => {
      jitter(pixels.data, parameters, draws);
      return pixels;
    },
  },
  grayscale: {
    defaults: { p: 0.1 },
    inPlace: true,
    apply: (pixels) => (colour.toGrey(pixels.data), pixels),
  },
  invert: {
    defaults: { p: 0.1 },
    inPlace: true,
    apply: (pixels) => (colour.invert(pixels.data), pixels),
  },
  edges: {
    defaults: { p: 0.1, gain: [1, 3] },
    inPlace: true,
    apply: (pixels, { gain }, { draws }) => {
      colour.drawEdges(pixels.data, pixels.width, pixels.height, draws.uniform(...gain));
      return pixels;
    },
  },
  'dark-strokes': {
    defaults: { p: 0.1, threshold: [40, 90], least: 0.05 },
    inPlace: true,
    apply: (pixels, { threshold, least }, { draws }) => {
      colour.keepDarkStrokes(pixels.data, draws.uniform(...threshold), least);
      return pixels;
    },
  },
  'gaussian-blur': {
    defaults: { p: 0.5, sigma: [0.1, 2] },
    inPlace: true,
    apply: (pixels, { sigma }, { draws }) => {
      gaussianBlur(pixels, draws.uniform(...sigma));
      return pixels;
    },
  },
  solarize: {
    defaults: { p: 0.2, threshold: 128 },
    inPlace: true,
    apply: (pixels, { threshold }) => (solarize(pixels.data, threshold), pixels),
  },
  posterize: {
    defaults: { p: 0.2, bits: 4 },
    inPlace: true,
    apply: (pixels, { bits }) => (posterize(pixels.data, bits), pixels),
  },
  'auto-contrast': {
    defaults: { p: 0.2 },
    inPlace: true,
    apply: (pixels) => (autoContrast(pixels.data), pixels),
  },
  equalize: {
    defaults: { p: 0.2 },
    inPlace: true,
    apply: (pixels) => (equalize(pixels.data), pixels),
  },
  sharpness: {
    defaults: { p: 0.2, factor: [0.1, 1.9] },
    inPlace: true,
    apply: (pixels, { factor }, { draws }) => {
      adjustSharpness(pixels, draws.uniform(...factor));
      return pixels;
    },
  },
  rotate: affineOp(30, rotate),
  'shear-x': affineOp(0.3, shearX),
  'shear-y': affineOp(0.3, shearY),
  'translate-x': affineOp(0.45, translateX),
  'translate-y': affineOp(0.45, translateY),
  'rand-augment': {
    defaults: {
      p: 1,
      n: 2,
      magnitude: 10,
      magnitudeStd: 0,
      chance: 1,
      operations: paperOps,
      ...affineDefaults,
    },
    inPlace: true,
    apply: (pixels, parameters, { draws }) => {
      const style = (): AffineStyle => drawStyle(parameters, draws);
      randAugment(pixels, parameters, { draws, style });
      return pixels;
    },
  },
};

/** Ten tries at a box that fits; then the largest centred one whose ratio is within the range. */
function drawBox({ width, height }: Pixels, scale: Range, ratio: Range, draws: Draws): Box {
  const area = width * height;
  for (let attempt = 0; attempt < 10; attempt++) {
    const target = area * draws.uniform(...scale);
    const aspect = Math.exp(draws.uniform(Math.log(ratio[0]), Math.log(ratio[1])));
    const across = Math.round(Math.sqrt(target * aspect));
    const down = Math.round(Math.sqrt(target / aspect));
    if (across < 1 || across > width || down < 1 || down > height) continue;
    const top = draws.integer(height - down + 1);
    const left = draws.integer(width - across + 1);
    return { left, top, width: across, height: down };
  }
  const own = width / height;
  const across = own > ratio[1] ? Math.round(height * ratio[1]) : width;
  const down = own < ratio[0] ? Math.round(width / ratio[0]) : height;
  return {
    left: Math.floor((width - across) / 2),
    top: Math.floor((height - down) / 2),
    width: across,
    height: down,
  };
}

function drawShift(edge: number, most: number, draws: Draws): number {
  const reach = Math.round(edge * most);
  return draws.integer(2 * reach + 1) - reach;
}

function mirror({ width, data }: Pixels): void {
  const stride = width * 3;
  for (let row = 0; row < data.length; row += stride) {
    for (let left = row, right = row + stride - 3; left < right; left += 3, right -= 3) {
      for (let c = 0; c < 3; c++) {
        const kept = data[left + c] ?? 0;
        data[left + c] = data[right + c] ?? 0;
        data[right + c] = kept;
      }
    }
  }
}

function jitter(data: Uint8Array, amounts: OpParameters['color-jitter'], draws: Draws): void {
  const factor = (amount: number): number => draws.uniform(Math.max(0, 1 - amount), 1 + amount);
  const changes = [
    () => {
      if (amounts.brightness > 0) colour.adjustBrightness(data, factor(amounts.brightness));
    },
    () => {
      if (amounts.contrast > 0) colour.adjustContrast(data, factor(amounts.contrast));
    },
    () => {
      if (amounts.saturation > 0) colour.adjustSaturation(data, factor(amounts.saturation));
    },
    () => {
      if (amounts.hue > 0) colour.adjustHue(data, draws.uniform(-amounts.hue, amounts.hue));
    },
  ];
  for (const change of draws.shuffle(changes)) change();
}
