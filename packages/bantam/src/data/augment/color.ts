/** Changes of color, in place, on RGB pixels; factors and formulas are torchvision's and PIL's. */

/** Luma of ITU-R 601-2 as PIL rounds it. */
function luma(data: Uint8Array, at: number): number {
  const red = data[at] ?? 0;
  const green = data[at + 1] ?? 0;
  const blue = data[at + 2] ?? 0;
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

function setGray(data: Uint8Array, at: number, level: number): void {
  data[at] = level;
  data[at + 1] = level;
  data[at + 2] = level;
}

function clampByte(value: number): number {
  return value < 0 ? 0 : value > 255 ? 255 : Math.trunc(value);
}

/** `from` + factor · (`to` − `from`) in the single precision of PIL's `Image.blend`. */
export function blend(from: number, to: number, factor: number): number {
  return clampByte(Math.fround(from + Math.fround(Math.fround(factor) * (to - from))));
}

/** Each channel times `factor`. */
export function adjustBrightness(data: Uint8Array, factor: number): void {
  const table = Uint8Array.from({ length: 256 }, (_, value) => blend(0, value, factor));
  for (let i = 0; i < data.length; i++) data[i] = table[data[i] ?? 0] ?? 0;
}

/** Blends with the image's mean luma: mean + factor · (x − mean). */
export function adjustContrast(data: Uint8Array, factor: number): void {
  let total = 0;
  for (let at = 0; at < data.length; at += 3) total += luma(data, at);
  const mean = Math.trunc(total / (data.length / 3) + 0.5);
  const table = Uint8Array.from({ length: 256 }, (_, value) => blend(mean, value, factor));
  for (let i = 0; i < data.length; i++) data[i] = table[data[i] ?? 0] ?? 0;
}

/** Blends each pixel with its luma: luma + factor · (x − luma). */
export function adjustSaturation(data: Uint8Array, factor: number): void {
  for (let at = 0; at < data.length; at += 3) {
    const gray = luma(data, at);
    for (let i = at; i < at + 3; i++) data[i] = blend(gray, data[i] ?? 0, factor);
  }
}

/** Turns the hue by `turn`, a fraction of the whole circle. */
export function adjustHue(data: Uint8Array, turn: number): void {
  for (let at = 0; at < data.length; at += 3) {
    const red = data[at] ?? 0;
    const green = data[at + 1] ?? 0;
    const blue = data[at + 2] ?? 0;
    const most = Math.max(red, green, blue);
    const chroma = most - Math.min(red, green, blue);
    if (chroma === 0) continue;
    let sextant: number;
    if (most === red) sextant = (green - blue) / chroma;
    else if (most === green) sextant = (blue - red) / chroma + 2;
    else sextant = (red - green) / chroma + 4;
    const hue = sextant + turn * 6;
    // A channel falls from the most over one sextant on either side of its two full ones.
    data[at] = channel(hue + 5, most, chroma);
    data[at + 1] = channel(hue + 3, most, chroma);
    data[at + 2] = channel(hue + 1, most, chroma);
  }
}

function channel(position: number, most: number, chroma: number): number {
  const k = position - 6 * Math.floor(position / 6);
  return Math.round(most - chroma * Math.max(0, Math.min(1, k, 4 - k)));
}

/** Every channel becomes the pixel's luma. */
export function toGray(data: Uint8Array): void {
  for (let at = 0; at < data.length; at += 3) setGray(data, at, luma(data, at));
}

/** x ↦ 255 − x. */
export function invert(data: Uint8Array): void {
  for (let i = 0; i < data.length; i++) data[i] = 255 - (data[i] ?? 0);
}

/**
 * Keeps the dark parts as black on white: black up to a luma of `threshold`, white from a little
 * above on. Outlined drawings become line art; an image with less than the fraction `least` of dark
 * pixels has no outlines, and is left unchanged.
 */
export function keepDarkStrokes(data: Uint8Array, threshold: number, least: number): void {
  const ramp = 24;
  let dark = 0;
  for (let at = 0; at < data.length; at += 3) if (luma(data, at) <= threshold) dark++;
  if (dark * 3 < least * data.length) return;
  const table = Uint8Array.from({ length: 256 }, (_, value) =>
    clampByte((255 * (value - threshold)) / ramp),
  );
  for (let at = 0; at < data.length; at += 3) {
    setGray(data, at, table[luma(data, at)] ?? 0);
  }
}

/**
 * Dark lines on white where the color changes: 255 − gain · |gradient|, with Sobel's gradient of
 * the channel that changes most.
 */
export function drawEdges(data: Uint8Array, width: number, height: number, gain: number): void {
  const source = data.slice();
  const stride = width * 3;
  for (let y = 0; y < height; y++) {
    const row = y * stride;
    const above = y === 0 ? row : row - stride;
    const below = y === height - 1 ? row : row + stride;
    for (let x = 0; x < stride; x += 3) {
      const left = x === 0 ? x : x - 3;
      const right = x === stride - 3 ? x : x + 3;
      let most = 0;
      for (let c = 0; c < 3; c++) {
        const topLeft = source[above + left + c] ?? 0;
        const topRight = source[above + right + c] ?? 0;
        const bottomLeft = source[below + left + c] ?? 0;
        const bottomRight = source[below + right + c] ?? 0;
        const across =
          topRight +
          bottomRight -
          topLeft -
          bottomLeft +
          2 * ((source[row + right + c] ?? 0) - (source[row + left + c] ?? 0));
        const down =
          bottomLeft +
          bottomRight -
          topLeft -
          topRight +
          2 * ((source[below + x + c] ?? 0) - (source[above + x + c] ?? 0));
        most = Math.max(most, across * across + down * down);
      }
      // Sobel's weights add up to 4 on either side.
      const line = clampByte(255 - (gain * Math.sqrt(most)) / 4);
      setGray(data, row + x, line);
    }
  }
}
