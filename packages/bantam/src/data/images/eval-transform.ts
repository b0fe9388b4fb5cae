import { evalGeometry, type Geometry } from './eval-geometry.js';
import { crop, type Pixels } from './pixels.js';
import { resample } from './resample.js';
import { resampleWindow } from './resample-window.js';
import { tensorflowResize } from './tensorflow-resize.js';

/** Images that are longer than this many times their width are cropped while they are resized. */
const mostAspect = 8;

/**
 * OpenCLIP's evaluation transform up to the uint8 image, size × size: resize (shortest side, or
 * both), then centre crop, with the integer rules of torchvision's `Resize` and `CenterCrop` and
 * PIL's arithmetic; or that of big_vision, see {@link Geometry.tensorflow}.
 */
export function evalTransform(pixels: Pixels, geometry: Geometry): Pixels {
  const { size, interpolation, antialias, tensorflow } = geometry;
  const { width, height, window } = evalGeometry(pixels, geometry);
  const target = { width, height, interpolation, antialias };
  if (width === pixels.width && height === pixels.height) return crop(pixels, window);
  if (tensorflow !== undefined) {
    return tensorflowResize(pixels, { width, height, method: tensorflow }, window);
  }
  // The whole of a long and thin image would be enlarged to gigabytes.
  if (Math.max(width, height) > mostAspect * size) return resampleWindow(pixels, target, window);
  return crop(resample(pixels, target), window);
}
