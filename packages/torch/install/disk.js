import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { lstat, readdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { InstallError } from './install-error.js';
import { size } from './progress.js';

/**
 * Makes the cache folder and proves that it can be written.
 *
 * @param {string} folder
 */
export function openCache(folder) {
  const probe = join(folder, `.probe-${process.pid}`);
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(probe, 'x');
    rmSync(probe);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    if (code === 'ENOSPC') throw diskFull(folder);
    throw new InstallError(
      `The cache folder "${folder}" can't be written (${code}): make it writable, or set BANTAM_CACHE to a folder of yours.`,
    );
  }
}

/**
 * Refuses to start what would fill the disk.
 *
 * @param {string} folder an existing folder
 * @param {number} needed bytes
 * @param {string} [remedy] a way to need less
 */
export async function checkSpace(folder, needed, remedy = '') {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < needed) {
    throw new InstallError(
      `libtorch needs ${size(needed)} of free space in "${folder}" while it is installed and ${size(bavail * bsize)} are free: free some, or set BANTAM_CACHE to a folder on a larger disk${remedy}.`,
    );
  }
}

/** @param {string} folder */
export function diskFull(folder) {
  return new InstallError(
    `The disk of "${folder}" is full: free some space, or set BANTAM_CACHE to a folder on a larger disk.`,
  );
}

/**
 * Bytes of the files under a folder. Files that vanish meanwhile count nothing.
 *
 * @param {string} folder
 * @returns {Promise<number>}
 */
export async function folderSize(folder) {
  let total = 0;
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) total += await folderSize(path);
    else
      total += await lstat(path).then(
        (stat) => stat.size,
        () => 0,
      );
  }
  return total;
}
