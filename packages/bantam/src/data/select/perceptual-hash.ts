import { at } from '../../base/at.js';
import type { Pixels } from '../images/pixels.js';
import { resample } from '../images/resample.js';

/** Side of the shrunk image, and of the corner of its low frequencies. */
const side = 32;
const corner = 8;

/** cos(π · k · (2 i + 1) / 64) for frequencies k < 8 and pixels i < 32. */
const cosines = Array.from({ length: corner }, (_, k) =>
  Float64Array.from({ length: side }, (_, i) => Math.cos((Math.PI * k * (2 * i + 1)) / (2 * side))),
);

/**
 * Perceptual hash of an image (Zauner 2010, "pHash"): 32 × 32 pixels in gray, the 8 × 8 lowest
 * frequencies of its two-dimensional cosine transform (DCT-II), a bit for each that is above their
 * median. As 16 hexadecimal digits, the first bit for the mean. Images that differ in size,
 * compression or a little in colour have hashes that differ in few bits. Equal to `phash` of the
 * Python package imagehash but for the filter, bicubic in place of Lanczos'.
 */
export function perceptualHash(pixels: Pixels): string {
  const { data } = resample(toGray(pixels), {
    width: side,
    height: side,
    interpolation: 'bicubic',
  });
  // Columns first, for the low frequencies only, then rows.
  const columns = cosines.map((cosine) =>
    Float64Array.from({ length: side }, (_, x) => {
      let sum = 0;
      for (let y = 0; y < side; y++) sum += at(cosine, y) * at(data, 3 * (y * side + x));
      return sum;
    }),
  );
  const low = columns.flatMap((row) =>
    cosines.map((cosine) => {
      let sum = 0;
      for (let x = 0; x < side; x++) sum += at(cosine, x) * at(row, x);
      return sum;
    }),
  );
  const sorted = low.toSorted((a, b) => a - b);
  const median = (at(sorted, 31) + at(sorted, 32)) / 2;
  let hash = '';
  for (let i = 0; i < low.length; i += 4) {
    let digit = 0;
    for (const value of low.slice(i, i + 4)) digit = digit * 2 + (value > median ? 1 : 0);
    hash += digit.toString(16);
  }
  return hash;
}

/** An image in gray by PIL's luma of ITU-R 601-2. */
function toGray({ width, height, data }: Pixels): Pixels {
  const gray = new Uint8Array(width * height * 3);
  for (let i = 0; i < gray.length; i += 3) {
    const luma = at(data, i) * 19_595 + at(data, i + 1) * 38_470 + at(data, i + 2) * 7_471;
    const level = (luma + 0x8000) >> 16;
    gray[i] = level;
    gray[i + 1] = level;
    gray[i + 2] = level;
  }
  return { width, height, data: gray };
}
