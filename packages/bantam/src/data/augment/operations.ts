import { rotate, shearX, shearY, translateX, translateY, type AffineStyle } from './affine.js';
import { adjustSharpness, gaussianBlur } from './blur.js';
import * as color from './color.js';
import { evalTransform } from '../images/eval-transform.js';
import { crop, type Box, type Pixels } from '../images/pixels.js';
import type { CounterRng } from '../counter-rng.js';
import { randAugment } from './rand-augment.js';
import type { OpName, Range, ResolvedOp } from './schema.js';
import { resample } from '../images/resample.js';
import { autoContrast, equalize, posterize, solarize } from './tone.js';

interface OpContext {
  /** Side length of the target in pixels. */
  readonly size: number;
  readonly rng: CounterRng;
  /** Memory that a resized image may come in. */
  readonly target?: Uint8Array;
}

interface Operation<P> {
  /** May write to the pixels that it receives, and return them. */
  readonly inPlace: boolean;
  readonly apply: (pixels: Pixels, settings: P, context: OpContext) => Pixels;
}

/** Affine operation by a uniform amount in [−most, most]. */
function affineOp<N extends 'rotate' | 'shear-x' | 'shear-y' | 'translate-x' | 'translate-y'>(
  apply: (pixels: Pixels, amount: number, style: AffineStyle) => void,
): Operation<ResolvedOp<N>> {
  return {
    inPlace: true,
    apply: (pixels, settings, { rng }) => {
      const amount = rng.uniform(-settings.most, settings.most);
      apply(pixels, amount, sampleStyle(settings, rng));
      return pixels;
    },
  };
}

function sampleStyle(
  { resampling, fillColor }: Pick<ResolvedOp<'rotate'>, 'resampling' | 'fillColor'>,
  rng: CounterRng,
): AffineStyle {
  if (resampling !== 'either') return { resampling, fillColor };
  return { resampling: rng.chance(0.5) ? 'bilinear' : 'bicubic', fillColor };
}

/** The implementation of every operation. */
export const operations: { readonly [N in OpName]: Operation<ResolvedOp<N>> } = {
  'random-resized-crop': {
    inPlace: false,
    apply: (pixels, { scale, ratio, interpolation }, { size, rng, target }) =>
      resample(pixels, {
        width: size,
        height: size,
        interpolation,
        box: sampleBox(pixels, scale, ratio, rng),
        ...(target && { target }),
      }),
  },
  resize: {
    inPlace: false,
    apply: (pixels, { interpolation, resizeMode }, { size }) =>
      evalTransform(pixels, { size, antialias: true, interpolation, resizeMode }),
  },
  flip: {
    inPlace: true,
    apply: (pixels) => (mirror(pixels), pixels),
  },
  shift: {
    inPlace: false,
    apply: (pixels, { most, fill }, { rng }) => {
      const left = sampleShift(pixels.width, most, rng);
      const top = sampleShift(pixels.height, most, rng);
      return crop(pixels, { ...pixels, left, top }, fill);
    },
  },
  'color-jitter': {
    inPlace: true,
    apply: (pixels, settings, { rng }) => {
      jitter(pixels.data, settings, rng);
      return pixels;
    },
  },
  grayscale: {
    inPlace: true,
    apply: (pixels) => (color.toGray(pixels.data), pixels),
  },
  invert: {
    inPlace: true,
    apply: (pixels) => (color.invert(pixels.data), pixels),
  },
  edges: {
    inPlace: true,
    apply: (pixels, { gain }, { rng }) => {
      color.drawEdges(pixels.data, pixels.width, pixels.height, rng.uniform(...gain));
      return pixels;
    },
  },
  'dark-strokes': {
    inPlace: true,
    apply: (pixels, { threshold, least }, { rng }) => {
      color.keepDarkStrokes(pixels.data, rng.uniform(...threshold), least);
      return pixels;
    },
  },
  'gaussian-blur': {
    inPlace: true,
    apply: (pixels, { sigma }, { rng }) => {
      gaussianBlur(pixels, rng.uniform(...sigma));
      return pixels;
    },
  },
  solarize: {
    inPlace: true,
    apply: (pixels, { threshold }) => (solarize(pixels.data, threshold), pixels),
  },
  posterize: {
    inPlace: true,
    apply: (pixels, { bits }) => (posterize(pixels.data, bits), pixels),
  },
  'auto-contrast': {
    inPlace: true,
    apply: (pixels) => (autoContrast(pixels.data), pixels),
  },
  equalize: {
    inPlace: true,
    apply: (pixels) => (equalize(pixels.data), pixels),
  },
  sharpness: {
    inPlace: true,
    apply: (pixels, { factor }, { rng }) => {
      adjustSharpness(pixels, rng.uniform(...factor));
      return pixels;
    },
  },
  rotate: affineOp(rotate),
  'shear-x': affineOp(shearX),
  'shear-y': affineOp(shearY),
  'translate-x': affineOp(translateX),
  'translate-y': affineOp(translateY),
  'rand-augment': {
    inPlace: true,
    apply: (pixels, settings, { rng }) => {
      const style = (): AffineStyle => sampleStyle(settings, rng);
      randAugment(pixels, settings, { rng, style });
      return pixels;
    },
  },
};

/** Ten tries at a box that fits; then the largest centred one whose ratio is within the range. */
function sampleBox({ width, height }: Pixels, scale: Range, ratio: Range, rng: CounterRng): Box {
  const area = width * height;
  for (let attempt = 0; attempt < 10; attempt++) {
    const target = area * rng.uniform(...scale);
    const aspect = Math.exp(rng.uniform(Math.log(ratio[0]), Math.log(ratio[1])));
    const across = Math.round(Math.sqrt(target * aspect));
    const down = Math.round(Math.sqrt(target / aspect));
    if (across < 1 || across > width || down < 1 || down > height) continue;
    const top = rng.integer(height - down + 1);
    const left = rng.integer(width - across + 1);
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

function sampleShift(side: number, most: number, rng: CounterRng): number {
  const reach = Math.round(side * most);
  return rng.integer(2 * reach + 1) - reach;
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

function jitter(data: Uint8Array, amounts: ResolvedOp<'color-jitter'>, rng: CounterRng): void {
  const factor = (amount: number): number => rng.uniform(Math.max(0, 1 - amount), 1 + amount);
  const changes = [
    () => {
      if (amounts.brightness > 0) color.adjustBrightness(data, factor(amounts.brightness));
    },
    () => {
      if (amounts.contrast > 0) color.adjustContrast(data, factor(amounts.contrast));
    },
    () => {
      if (amounts.saturation > 0) color.adjustSaturation(data, factor(amounts.saturation));
    },
    () => {
      if (amounts.hue > 0) color.adjustHue(data, rng.uniform(-amounts.hue, amounts.hue));
    },
  ];
  for (const change of rng.shuffle(changes)) change();
}
