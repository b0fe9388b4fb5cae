/** Worker thread that makes the pixels of one image at a time for a model. */
import { parentPort } from 'node:worker_threads';
import { BantamError } from '../../base/errors.js';
import { decodeImage } from '../../data/images/decode.js';
import type { Geometry } from '../../data/images/eval-geometry.js';
import { evalTransform } from '../../data/images/eval-transform.js';
import { loadSharp } from '../../data/images/load-sharp.js';
import { imageKind } from './image-kind.js';

/** An image file to decode. */
export interface DecodeTask {
  readonly bytes: Uint8Array;
  readonly geometry: Geometry;
  /** Most pixels of the image. */
  readonly mostPixels: number;
}

/** Pixels [S, S, 3], or why there are none. */
export type DecodeAnswer =
  { readonly pixels: Uint8Array<ArrayBuffer> } | { readonly refused: string };

async function decode({ bytes, geometry, mostPixels }: DecodeTask): Promise<DecodeAnswer> {
  const kind = imageKind(bytes);
  if (kind === undefined) {
    return { refused: 'It is no JPEG, PNG, WebP, GIF, TIFF or AVIF image.' };
  }
  const sharp = await loadSharp();
  // The header alone: nothing is decoded before its size is known.
  const { width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
  if (width * height > mostPixels) {
    return {
      refused: `The image has ${width} × ${height} pixels; at most ${mostPixels} are decoded.`,
    };
  }
  const { data } = evalTransform(await decodeImage(bytes), geometry);
  return { pixels: new Uint8Array(data) };
}

parentPort?.on('message', (task: DecodeTask) => {
  decode(task).then(
    (answer) => {
      const buffers = 'pixels' in answer ? [answer.pixels.buffer] : [];
      parentPort?.postMessage(answer, buffers);
    },
    (error: unknown) => {
      const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
      const refused =
        error instanceof BantamError
          ? error.message
          : `The image cannot be decoded (${reason ?? 'no reason'}).`;
      parentPort?.postMessage({ refused } satisfies DecodeAnswer);
    },
  );
});
