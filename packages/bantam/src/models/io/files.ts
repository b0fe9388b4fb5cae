import { open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TorchError } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { makeFolder } from '../../base/make-folder.js';
import { isFolder } from '../../base/path-kind.js';
import { isProcessAlive } from '../../base/process-alive.js';
import { writeRefusal } from '../../base/system-error.js';

/** Writes a value as JSON. */
export async function writeJson(file: string, value: unknown): Promise<void> {
  await writeFile(file, `${JSON.stringify(value, null, 2)}\n`);
}

/** Waits until the files of a folder, of those in it, and their lists of files are on the disk. */
async function syncFolder(path: string): Promise<void> {
  const files = (await readdir(path, { recursive: true })).map((file) => join(path, file));
  for (const file of [...files, path]) {
    const handle = await open(file);
    await handle.sync().finally(() => handle.close());
  }
}

/**
 * Fills a temporary folder by `write` and renames it when complete, so that neither a reader nor a
 * crash at any moment finds half of it. An earlier folder of that name is replaced, and what killed
 * processes have left beside it is removed.
 *
 * @throws BantamError if the earlier folder has files whose names `replaceable` does not accept,
 * or the path cannot be written.
 */
export async function writeFolder(
  path: string,
  replaceable: (file: string) => boolean,
  write: (draft: string) => Promise<void>,
): Promise<void> {
  await clearLeftovers(path);
  const earlier = await readdir(path).catch(() => []);
  const foreign = earlier.filter((file) => !replaceable(file));
  if (foreign.length > 0) {
    throw new BantamError(
      `${path} holds other files (${foreign.slice(0, 3).join(', ')}${foreign.length > 3 ? ', …' : ''}); name a new or empty folder.`,
    );
  }
  const beside = (kind: string) => join(dirname(path), `.${basename(path)}.${process.pid}.${kind}`);
  const [draft, old] = [beside('draft'), beside('old')];
  try {
    makeFolder(draft);
    await write(draft);
    await syncFolder(draft);
    if (await isFolder(path)) await rename(path, old);
    await rename(draft, path);
  } catch (error) {
    throw explain(error, { path, draft });
  } finally {
    await rm(draft, { recursive: true, force: true }).catch(() => undefined);
    await rm(old, { recursive: true, force: true }).catch(() => undefined);
  }
}

/**
 * Removes drafts of processes that do not run any more. An earlier folder comes back if its process
 * was killed between the two renames.
 */
async function clearLeftovers(path: string): Promise<void> {
  const prefix = `.${basename(path)}.`;
  for (const name of await readdir(dirname(path)).catch(() => [])) {
    if (!name.startsWith(prefix)) continue;
    const [, id, kind] = /^(\d+)\.(draft|old)$/.exec(name.slice(prefix.length)) ?? [];
    if (kind === undefined || isProcessAlive(Number(id))) continue;
    const leftover = join(dirname(path), name);
    if (kind === 'old' && !(await isFolder(path))) await rename(leftover, path);
    else await rm(leftover, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** The error in words that name the folder itself, not its draft. */
function explain(error: unknown, { path, draft }: { path: string; draft: string }): unknown {
  if (error instanceof BantamError && !error.message.includes(draft)) return error;
  if (error instanceof TorchError || error instanceof BantamError) {
    return new BantamError(error.message.replaceAll(draft, path));
  }
  const cause = writeRefusal(error);
  if (cause === undefined) return error;
  return new BantamError(`Cannot write to ${path}: ${cause}; name a folder that can be written.`);
}
