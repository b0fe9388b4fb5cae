/** Tables of levels, in place, on RGB pixels; the arithmetic is that of PIL's `ImageOps`. */

const table = new Uint8Array(256);
/** Of the three channels, one after the other. */
const channelTables = new Uint8Array(768);
const histogram = new Uint32Array(768);

function applyTable(data: Uint8Array): void {
  for (let i = 0; i < data.length; i++) data[i] = table[data[i] ?? 0] ?? 0;
}

function applyChannelTables(data: Uint8Array): void {
  for (let at = 0; at < data.length; at += 3) {
    data[at] = channelTables[data[at] ?? 0] ?? 0;
    data[at + 1] = channelTables[256 + (data[at + 1] ?? 0)] ?? 0;
    data[at + 2] = channelTables[512 + (data[at + 2] ?? 0)] ?? 0;
  }
}

function countLevels(data: Uint8Array): void {
  histogram.fill(0);
  for (let at = 0; at < data.length; at += 3) {
    for (let c = 0; c < 3; c++) {
      const level = 256 * c + (data[at + c] ?? 0);
      histogram[level] = (histogram[level] ?? 0) + 1;
    }
  }
}

/** Inverts the levels from `threshold` on. */
export function solarize(data: Uint8Array, threshold: number): void {
  for (let level = 0; level < 256; level++) table[level] = level < threshold ? level : 255 - level;
  applyTable(data);
}

/** Adds `add` to the levels below 128, up to 255. */
export function solarizeAdd(data: Uint8Array, add: number): void {
  for (let level = 0; level < 256; level++) {
    table[level] = level < 128 ? Math.min(255, level + add) : level;
  }
  applyTable(data);
}

/** Keeps the upper `bits` of the eight bits of a level; none of them is black. */
export function posterize(data: Uint8Array, bits: number): void {
  const mask = 256 - (1 << (8 - bits));
  for (let i = 0; i < data.length; i++) data[i] = (data[i] ?? 0) & mask;
}

/** Stretches each channel so that its least level becomes 0 and its greatest 255. */
export function autoContrast(data: Uint8Array): void {
  countLevels(data);
  for (let first = 0; first < 768; first += 256) {
    const levels = histogram.subarray(first, first + 256);
    const low = levels.findIndex((count) => count > 0);
    const high = levels.findLastIndex((count) => count > 0);
    const scale = high > low ? 255 / (high - low) : 1;
    const offset = high > low ? -low * scale : 0;
    for (let level = 0; level < 256; level++) {
      const stretched = Math.trunc(level * scale + offset);
      channelTables[first + level] = Math.min(255, Math.max(0, stretched));
    }
  }
  applyChannelTables(data);
}

/**
 * Flattens the histogram of each channel: a level becomes the number of pixels below it over the
 * step that would spread all pixels, but those of the greatest level, over 255 levels.
 */
export function equalize(data: Uint8Array): void {
  countLevels(data);
  for (let first = 0; first < 768; first += 256) {
    const levels = histogram.subarray(first, first + 256);
    const greatest = levels.findLast((count) => count > 0) ?? 0;
    const step = Math.floor((data.length / 3 - greatest) / 255);
    let below = step >> 1;
    for (let level = 0; level < 256; level++) {
      channelTables[first + level] = step === 0 ? level : Math.min(255, Math.floor(below / step));
      below += levels[level] ?? 0;
    }
  }
  applyChannelTables(data);
}
