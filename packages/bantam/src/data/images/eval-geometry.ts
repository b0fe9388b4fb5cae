import type { Preprocess } from '../../models/preprocess.js';
import type { Box } from './pixels.js';
import type { TensorflowMethod } from './tensorflow-resize.js';

/** The members of a {@link Preprocess} that decide about geometry. */
export interface Geometry extends Pick<
  Preprocess,
  'size' | 'interpolation' | 'antialias' | 'resizeMode'
> {
  /** Resizes to size / cropFraction before the centre crop; 1 by default. */
  readonly cropFraction?: number;
  /** Resizes as big_vision does with TensorFlow, in place of `interpolation` and `antialias`. */
  readonly tensorflow?: TensorflowMethod;
}

/** A resize of the whole image, and the part of the result that is kept. */
export interface ResizeAndCrop {
  readonly width: number;
  readonly height: number;
  readonly window: Box;
}

/**
 * Sizes of OpenCLIP's evaluation transform: resize (shortest side, or both), then centre crop, with
 * the integer rules of torchvision's `Resize` and `CenterCrop`; with `tensorflow` those of big_vision's
 * `resize`, `resize_small` and `central_crop`.
 */
export function evalGeometry(
  image: { readonly width: number; readonly height: number },
  geometry: Pick<Geometry, 'size' | 'resizeMode' | 'cropFraction' | 'tensorflow'>,
): ResizeAndCrop {
  const { size, resizeMode, cropFraction = 1, tensorflow } = geometry;
  const resized = Math.trunc(size / cropFraction);
  const isTensorflow = tensorflow !== undefined;
  let width = resized;
  let height = resized;
  if (resizeMode === 'shortest' && isTensorflow) {
    const factor = Math.fround(resized / Math.min(image.width, image.height));
    width = roundHalfToEven(Math.fround(image.width * factor));
    height = roundHalfToEven(Math.fround(image.height * factor));
  } else if (resizeMode === 'shortest') {
    const longest = Math.trunc(
      (resized * Math.max(image.width, image.height)) / Math.min(image.width, image.height),
    );
    if (image.width <= image.height) height = longest;
    else width = longest;
  }
  const centre = isTensorflow ? Math.floor : roundHalfToEven;
  const window = {
    left: centre((width - size) / 2),
    top: centre((height - size) / 2),
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
