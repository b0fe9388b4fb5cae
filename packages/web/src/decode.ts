import { BantamError } from 'bantam/portable';
import type { RgbImage } from './types.js';

/** As many as Bantam decodes. */
const mostPixels = 2 ** 27;

/**
 * Decodes an image file to RGB as Bantam does: upright by its EXIF orientation, on white, the first
 * frame of an animation, without applying an embedded color profile.
 *
 * @throws BantamError if the browser cannot decode it, or it has more than 2²⁷ pixels.
 */
export async function decodeImage(source: Blob): Promise<RgbImage> {
  const bitmap = await createImageBitmap(source, {
    colorSpaceConversion: 'none',
    premultiplyAlpha: 'none',
    imageOrientation: 'from-image',
  }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BantamError(`The image cannot be decoded (${reason}).`);
  });
  try {
    const { width, height } = bitmap;
    if (width * height > mostPixels) {
      throw new BantamError(
        `The image has ${width} × ${height} pixels; shrink it to at most ${mostPixels} pixels.`,
      );
    }
    const context = new OffscreenCanvas(width, height).getContext('2d', {
      willReadFrequently: true,
    });
    if (context === null) {
      throw new BantamError('This browser draws on no canvas, so images cannot be read.');
    }
    context.drawImage(bitmap, 0, 0);
    return { width, height, data: onWhite(context.getImageData(0, 0, width, height).data) };
  } finally {
    bitmap.close();
  }
}

/** RGBA, alpha not multiplied in, as RGB on white. */
export function onWhite(rgba: Uint8ClampedArray): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    const alpha = rgba[from + 3] ?? 0;
    const white = 255 * (255 - alpha);
    for (let channel = 0; channel < 3; channel++) {
      rgb[to + channel] = ((rgba[from + channel] ?? 0) * alpha + white) / 255;
    }
  }
  return rgb;
}
