import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { Source } from '../data/index.js';

/**
 * How images are compared with those of before: by size and time of their file (`time`), by its size, by a
 * hash of their bytes, or not at all (`key`: an image that has a vector keeps it).
 */
export type Comparison = 'time' | 'size' | 'hash' | 'key';

/**
 * State of an image's bytes, to be compared with that of another day. Within an archive the place
 * of the bytes belongs to it. Undefined if the file cannot be read, and for `key`.
 */
export async function imageStamp(
  source: Source,
  index: number,
  comparison: Comparison,
): Promise<string | undefined> {
  if (comparison === 'key') return undefined;
  try {
    if (comparison === 'hash') {
      const bytes = await source.image(index);
      return createHash('sha256').update(bytes).digest('base64url').slice(0, 22);
    }
    const { path, range } = source.location(index);
    const { size, mtimeMs } = await stat(path);
    const part = range === undefined ? '' : `@${range.offset}+${range.length}`;
    const length = range?.length ?? size;
    return comparison === 'size' ? String(length) : `${size}${part}:${mtimeMs}`;
  } catch {
    // Decoding it will say why.
    return undefined;
  }
}
