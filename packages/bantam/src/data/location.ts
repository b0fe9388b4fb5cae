import { open, readFile } from 'node:fs/promises';
import type { ImageLocation } from './source.js';

/** Reads the bytes at a location: an image file's, or raw pixels. */
export async function readLocation({ path, range }: ImageLocation): Promise<Uint8Array> {
  if (range === undefined) return readFile(path);
  const file = await open(path);
  try {
    const bytes = new Uint8Array(range.length);
    const { bytesRead } = await file.read(bytes, 0, range.length, range.offset);
    if (bytesRead < range.length) throw new Error(`${path} ends at ${range.offset + bytesRead}`);
    return bytes;
  } finally {
    await file.close();
  }
}
