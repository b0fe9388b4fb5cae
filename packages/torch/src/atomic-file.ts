import {
  closeSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { TorchError } from './errors.js';

const causes: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; free some space and save again',
  EDQUOT: 'the disk quota is used up; free some space and save again',
  EACCES: 'its folder may not be written; change its permissions or choose another one',
  EPERM: 'its folder may not be written; change its permissions or choose another one',
  EROFS: 'its file system is read-only; choose another folder',
  ENOENT: 'its folder does not exist; make the folder first',
  ENOTDIR: 'its folder is not a folder; choose another path',
  EISDIR: 'a folder of that name is in the way; choose another path',
};

function failure(path: string, error: unknown): TorchError {
  const { code = 'unknown', message } = error as NodeJS.ErrnoException;
  const cause = causes[code] ?? `${message}; choose another path`;
  return new TorchError(`${path} could not be written (${code}): ${cause}.`, { cause: error });
}

/** Writes all bytes: a single call may take only some of them. */
function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
}

/** Waits until a folder's list of files is on the disk: only then does a rename outlast a power cut. */
export function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/**
 * Writes a file whole or not at all: the chunks go to a temporary file beside it, which is synced to
 * the disk and replaces the file in one step. After a failure the old file is unchanged. The file
 * behind a symbolic link is replaced, not the link. Devices and pipes are written to.
 *
 * @throws TorchError when it cannot be written, with the cause; errors of `chunks` are rethrown.
 */
export function writeFileAtomic(path: string, chunks: Iterable<Uint8Array>): void {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) replaceFile(path, chunks);
    else if (found.isFile() || found.isDirectory()) replaceFile(realpathSync(path), chunks);
    else writeChunks(path, chunks);
  } catch (error) {
    throw error instanceof Error && 'syscall' in error ? failure(path, error) : error;
  }
}

function replaceFile(path: string, chunks: Iterable<Uint8Array>): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeChunks(temporary, chunks, fsyncSync);
    renameSync(temporary, path);
    syncFolder(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function writeChunks(
  path: string,
  chunks: Iterable<Uint8Array>,
  finish: (file: number) => void = () => undefined,
): void {
  const file = openSync(path, 'w');
  try {
    for (const chunk of chunks) writeAll(file, chunk);
    finish(file);
  } finally {
    closeSync(file);
  }
}
