/** A decoded image: RGB, uint8, rows from the top, channels innermost. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** A rectangle of an image, in whole pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** The part of an image within a box; pixels outside the image have the gray level `fill`. */
export function crop({ width, height, data }: Pixels, box: Box, fill = 0): Pixels {
  if (box.left === 0 && box.top === 0 && box.width === width && box.height === height) {
    return { width, height, data };
  }
  const cut = new Uint8Array(box.width * box.height * 3).fill(fill);
  const first = Math.max(0, box.left);
  const end = Math.min(width, box.left + box.width);
  for (let row = Math.max(0, -box.top); row < box.height && box.top + row < height; row++) {
    const from = (box.top + row) * width;
    const line = data.subarray((from + first) * 3, (from + end) * 3);
    cut.set(line, (row * box.width + first - box.left) * 3);
  }
  return { width: box.width, height: box.height, data: cut };
}
