import type { Preprocess } from '../../models/preprocess.js';
import type { Box } from './pixels.js';

/** The members of a {@link Preprocess} that decide about geometry. */
export interface Geometry extends Pick<
  Preprocess,
  'size' | 'interpolation' | 'antialias' | 'resizeMode'
> {
  /** Resizes to size / cropFraction before the centre crop; 1 by default. */
  readonly cropFraction?: number;
}

/** A resize of the whole image, and the part of the result that is kept. */
export interface ResizeAndCrop {
  readonly width: number;
  readonly height: number;
  readonly window: Box;
}

/**
 * Sizes of OpenCLIP's evaluation transform: resize (shortest side, or both), then centre crop, with
 * the integer rules of torchvision's `Resize` and `CenterCrop`.
 */
export function evalGeometry(
  image: { readonly width: number; readonly height: number },
  { size, resizeMode, cropFraction = 1 }: Pick<Geometry, 'size' | 'resizeMode' | 'cropFraction'>,
): ResizeAndCrop {
  const resized = Math.trunc(size / cropFraction);
  let width = resized;
  let height = resized;
  if (resizeMode === 'shortest') {
    const longest = Math.trunc(
      (resized * Math.max(image.width, image.height)) / Math.min(image.width, image.height),
    );
    if (image.width <= image.height) height = longest;
    else width = longest;
  }
  const window = {
    left: roundHalfToEven((width - size) / 2),
    top: roundHalfToEven((height - size) / 2),
    width: size,
    height: size,
  };
  return { width, height, window };
}

/** Python's `round`. */
function roundHalfToEven(value: number): number {
  const down = Math.floor(value);
  if (value - down !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}
