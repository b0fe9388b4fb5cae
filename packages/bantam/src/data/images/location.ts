import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join, parse, sep } from 'node:path';
import type { PageLocation } from './parquet-page.js';

/** Location of an image's bytes: plain data, so that it can be sent to worker threads. */
export interface ImageLocation {
  readonly path: string;
  /** Byte range within the file; the whole file if absent. */
  readonly range?: { readonly offset: number; readonly length: number };
  /** Set where the bytes are not an image file but RGB pixels (HWC, uint8) of this size. */
  readonly raw?: { readonly width: number; readonly height: number };
  /** Set where the range is a page of a Parquet file, and the image file a value in it. */
  readonly page?: PageLocation;
}

/** Reads the bytes at a location: an image file's, or raw pixels. */
export async function readLocation(location: ImageLocation): Promise<Uint8Array> {
  const { path, range, page } = location;
  if (range === undefined) {
    return readFile(path).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return readFile(existingForm(path));
    });
  }
  if (page !== undefined) {
    const { readPageValue } = await import('./parquet-page.js');
    return readPageValue(path, range, page);
  }
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

/**
 * The form of a path under which there is a file: names with accents are composed on some systems
 * and decomposed on others, labelling tools percent-encode paths, and extensions differ in case. Each
 * part of the path has the form that exists, as folders and files may come from different systems.
 */
function existingForm(path: string): string {
  const { root } = parse(path);
  return existingWithin(root, path.slice(root.length).split(sep)) ?? path;
}

/** The first forms of the parts below a folder that exist; undefined if there are none. */
function existingWithin(folder: string, [part, ...rest]: readonly string[]): string | undefined {
  if (part === undefined) return folder;
  for (const form of formsOf(part)) {
    const path = join(folder, form);
    const found = existsSync(path) ? existingWithin(path, rest) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The names that a part of a path may have on disk. */
function formsOf(part: string): string[] {
  const { name, ext } = parse(part);
  const cases = [part, `${name}${ext.toLowerCase()}`, `${name}${ext.toUpperCase()}`];
  const written = cases.flatMap((form) => [form, percentDecoded(form)]);
  const forms = written.flatMap((form) => [form, form.normalize('NFC'), form.normalize('NFD')]);
  return [...new Set(forms)];
}

function percentDecoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Runs a reader on a path, or where there is no file on another form of it. */
function onExisting<T>(path: string, read: (path: string) => T): T {
  try {
    return read(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return read(existingForm(path));
  }
}

/** Memory that files are read to; it grows with them, up to a limit. */
let memory = new Uint8Array(0);
const mostMemory = 2 ** 24;

function memoryFor(length: number): Uint8Array {
  if (length <= memory.length) return memory.subarray(0, length);
  const bytes = new Uint8Array(length);
  if (length <= mostMemory) memory = bytes;
  return bytes;
}

/**
 * {@link readLocation} for threads that have nothing else to do: it takes a tenth of the time where
 * the file is in memory. **The bytes lie in memory that the next call uses again.**
 */
export function readLocationSync({ path, range }: Omit<ImageLocation, 'page'>): Uint8Array {
  const file = onExisting(path, (form) => openSync(form, 'r'));
  try {
    const { offset = 0, length = fstatSync(file).size } = range ?? {};
    const bytes = memoryFor(length);
    for (let read = 0; read < length;) {
      const count = readSync(file, bytes, read, length - read, offset + read);
      if (count === 0) throw new Error(`${path} ends at ${offset + read}`);
      read += count;
    }
    return bytes;
  } finally {
    closeSync(file);
  }
}
