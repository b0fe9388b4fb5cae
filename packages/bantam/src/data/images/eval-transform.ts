import type { Preprocess } from '../../models/preprocess.js';
import { crop, type Pixels } from './pixels.js';
import { resample } from './resample.js';
import { resampleWindow } from './resample-window.js';

/** Images that are longer than this many times their width are cropped while they are resized. */
const mostAspect = 8;

/** The members of a {@link Preprocess} that decide about geometry. */
export interface Geometry extends Pick<
  Preprocess,
  'size' | 'interpolation' | 'antialias' | 'resizeMode'
> {
  /** Resizes to size / cropFraction before the centre crop; 1 by default. */
  readonly cropFraction?: number;
}

/**
 * OpenCLIP's evaluation transform up to the uint8 image, size × size: resize (shortest side, or
 * both), then centre crop, with the integer rules of torchvision's `Resize` and `CenterCrop` and
 * PIL's arithmetic.
 */
export function evalTransform(pixels: Pixels, geometry: Geometry): Pixels {
  const { size, interpolation, antialias, resizeMode, cropFraction = 1 } = geometry;
  const resized = Math.trunc(size / cropFraction);
  let width = resized;
  let height = resized;
  if (resizeMode === 'shortest') {
    const longest = Math.trunc(
      (resized * Math.max(pixels.width, pixels.height)) / Math.min(pixels.width, pixels.height),
    );
    if (pixels.width <= pixels.height) height = longest;
    else width = longest;
  }
  const window = {
    left: roundHalfToEven((width - size) / 2),
    top: roundHalfToEven((height - size) / 2),
    width: size,
    height: size,
  };
  const target = { width, height, interpolation, antialias };
  if (width === pixels.width && height === pixels.height) return crop(pixels, window);
  // The whole of a long and thin image would be enlarged to gigabytes.
  if (Math.max(width, height) > mostAspect * resized) return resampleWindow(pixels, target, window);
  return crop(resample(pixels, target), window);
}

/** Python's `round`. */
function roundHalfToEven(value: number): number {
  const down = Math.floor(value);
  if (value - down !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}
