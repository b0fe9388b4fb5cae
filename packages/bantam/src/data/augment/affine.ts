/** Affine maps of RGB pixels, in place, in PIL's arithmetic (`Image.transform`, `Image.rotate`). */
import type { Pixels } from '../images/pixels.js';
import { scratch } from './scratch.js';

/** Red, green and blue levels. */
export type Rgb = readonly [number, number, number];

/** How {@link affine} reads between pixels and what it shows outside of the image. */
export interface AffineStyle {
  readonly resampling: 'bilinear' | 'bicubic';
  readonly fillColor: Rgb;
}

/** Maps a pixel's centre (x, y) to its origin (a·x + b·y + c, d·x + e·y + f). */
export type Matrix = readonly [number, number, number, number, number, number];

/** Replaces each pixel by the one at the location that `matrix` maps it to, or the fill color outside. */
export function affine({ width, height, data }: Pixels, matrix: Matrix, style: AffineStyle): void {
  const [a, b, c, d, e, f] = matrix;
  const [red, green, blue] = style.fillColor;
  const read = style.resampling === 'bicubic' ? readBicubic : readBilinear;
  const source = scratch(data.length);
  source.set(data);
  let at = 0;
  for (let row = 0; row < height; row++) {
    const y = row + 0.5;
    for (let column = 0; column < width; column++, at += 3) {
      const x = column + 0.5;
      const fromX = a * x + b * y + c;
      const fromY = d * x + e * y + f;
      if (fromX >= 0 && fromX < width && fromY >= 0 && fromY < height) {
        read(data, at, source, width, height, fromX - 0.5, fromY - 0.5);
      } else {
        data[at] = red;
        data[at + 1] = green;
        data[at + 2] = blue;
      }
    }
  }
}

function within(index: number, last: number): number {
  return index < 0 ? 0 : index > last ? last : index;
}

function readBilinear(
  to: Uint8Array,
  at: number,
  from: Uint8Array,
  width: number,
  height: number,
  x: number,
  y: number,
): void {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const dx = x - left;
  const dy = y - top;
  const upper = within(top, height - 1) * width * 3;
  const lower = within(top + 1, height - 1) * width * 3;
  const x0 = within(left, width - 1) * 3;
  const x1 = within(left + 1, width - 1) * 3;
  for (let k = 0; k < 3; k++) {
    const a = from[upper + x0 + k] ?? 0;
    const b = from[lower + x0 + k] ?? 0;
    const v = a + ((from[upper + x1 + k] ?? 0) - a) * dx;
    const w = b + ((from[lower + x1 + k] ?? 0) - b) * dx;
    to[at + k] = (v + (w - v) * dy) | 0;
  }
}

/** The cubic through four values in a row (Keys' kernel with a = −1), `t` after the second. */
function cubic(v0: number, v1: number, v2: number, v3: number, t: number): number {
  return v1 + t * (-v0 + v2 + t * (2 * (v0 - v1) + v2 - v3 + t * (-v0 + v1 - v2 + v3)));
}

function readBicubic(
  to: Uint8Array,
  at: number,
  from: Uint8Array,
  width: number,
  height: number,
  x: number,
  y: number,
): void {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const dx = x - left;
  const dy = y - top;
  const stride = width * 3;
  const x0 = within(left - 1, width - 1) * 3;
  const x1 = within(left, width - 1) * 3;
  const x2 = within(left + 1, width - 1) * 3;
  const x3 = within(left + 2, width - 1) * 3;
  const y0 = within(top - 1, height - 1) * stride;
  const y1 = within(top, height - 1) * stride;
  const y2 = within(top + 1, height - 1) * stride;
  const y3 = within(top + 2, height - 1) * stride;
  for (let k = 0; k < 3; k++) {
    let v = readCubic(from, y1 + k, x0, x1, x2, x3, dx);
    // Shearing and translating along x alone leave the cubic along y at a pixel.
    if (dy !== 0) {
      const v0 = readCubic(from, y0 + k, x0, x1, x2, x3, dx);
      const v2 = readCubic(from, y2 + k, x0, x1, x2, x3, dx);
      const v3 = readCubic(from, y3 + k, x0, x1, x2, x3, dx);
      v = cubic(v0, v, v2, v3, dy);
    }
    to[at + k] = v <= 0 ? 0 : v >= 255 ? 255 : v | 0;
  }
}

function readCubic(
  from: Uint8Array,
  row: number,
  x0: number,
  x1: number,
  x2: number,
  x3: number,
  dx: number,
): number {
  if (dx === 0) return from[row + x1] ?? 0;
  return cubic(
    from[row + x0] ?? 0,
    from[row + x1] ?? 0,
    from[row + x2] ?? 0,
    from[row + x3] ?? 0,
    dx,
  );
}

/** Turns counter-clockwise by `degrees` around the middle. */
export function rotate(pixels: Pixels, degrees: number, style: AffineStyle): void {
  // PIL's way to the matrix, which decides about pixels at the border.
  const angle = (-(((degrees % 360) + 360) % 360) * Math.PI) / 180;
  const cos = Number(Math.cos(angle).toFixed(15));
  const sin = Number(Math.sin(angle).toFixed(15));
  const x = pixels.width / 2;
  const y = pixels.height / 2;
  const matrix = [cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y] as const;
  affine(pixels, matrix, style);
}

/** CounterRng each row from `factor` times its distance from the top to the right. */
export function shearX(pixels: Pixels, factor: number, style: AffineStyle): void {
  affine(pixels, [1, factor, 0, 0, 1, 0], style);
}

/** CounterRng each column from `factor` times its distance from the left below. */
export function shearY(pixels: Pixels, factor: number, style: AffineStyle): void {
  affine(pixels, [1, 0, 0, factor, 1, 0], style);
}

/** Moves the image to the left by `fraction` of its width. */
export function translateX(pixels: Pixels, fraction: number, style: AffineStyle): void {
  affine(pixels, [1, 0, fraction * pixels.width, 0, 1, 0], style);
}

/** Moves the image up by `fraction` of its height. */
export function translateY(pixels: Pixels, fraction: number, style: AffineStyle): void {
  affine(pixels, [1, 0, 0, 0, 1, fraction * pixels.height], style);
}
