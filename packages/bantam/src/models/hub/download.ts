import { createHash } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { addFile } from '../../base/hash.js';
import { makeFolder } from '../../base/make-folder.js';
import { send, TransientError, waitOrGiveUp } from './request.js';
import type { HubSettings } from './settings.js';

/** A file of the Hub, and where it goes. */
export interface Download {
  readonly url: string;
  /** Its name in messages. */
  readonly name: string;
  /** The whole file's path; until then its bytes are beside it, in `PATH.bantam.incomplete`. */
  readonly path: string;
  /** Null: unknown. */
  readonly bytes: number | null;
  /** SHA-256 in hexadecimal digits, SHA-1 of Git's blob, or another text that says nothing of the bytes. */
  readonly etag: string;
}

/**
 * Fetches a file, from where an earlier attempt ended, and checks size and hash. The path appears when the
 * file is whole; a process killed at any moment leaves at most the incomplete file, which the next
 * attempt completes.
 *
 * @param onBytes - Receives the number of bytes that are there
 * @throws BantamError if attempts are used up, the hash is wrong twice, or the disk is full.
 */
export async function download(
  settings: HubSettings,
  file: Download,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<void> {
  const partial = `${file.path}.bantam.incomplete`;
  makeFolder(dirname(file.path));
  for (let wrong = 0; ; wrong++) {
    await fetchAll(settings, file, { partial, onBytes });
    const found = await hashOf(partial, file.etag);
    if (found === null || found === file.etag) break;
    await rm(partial, { force: true });
    if (wrong > 0) {
      throw new BantamError(
        `${file.name} arrived twice with another content than the Hub names (hash ${found.slice(0, 12)}… instead of ${file.etag.slice(0, 12)}…), and is not kept; try again later, or check HF_ENDPOINT.`,
      );
    }
  }
  await rename(partial, file.path);
  syncFolder(dirname(file.path));
}

/** Attempts until the incomplete file has all bytes. */
async function fetchAll(
  settings: HubSettings,
  file: Download,
  { partial, onBytes }: { partial: string; onBytes: (bytes: number) => void },
): Promise<void> {
  let before = await sizeOf(partial);
  for (let attempt = 1; ; attempt++) {
    try {
      await fetchRest(settings, file, { partial, onBytes });
      return;
    } catch (error) {
      const now = await sizeOf(partial);
      // An attempt that brought something on is the first of a new row.
      if (now > before) attempt = 1;
      before = now;
      await waitOrGiveUp(settings, error, { attempt, url: file.url, kept: now > 0 });
    }
  }
}

/** One attempt: appends what is missing, or begins again if the server has no ranges. */
async function fetchRest(
  settings: HubSettings,
  { url, name, bytes }: Download,
  { partial, onBytes }: { partial: string; onBytes: (bytes: number) => void },
): Promise<void> {
  let have = await sizeOf(partial);
  if (bytes !== null && have === bytes && have > 0) {
    onBytes(have);
    return;
  }
  if (bytes !== null && have > bytes) have = 0;
  const range = have > 0 ? { range: `bytes=${have}-` } : {};
  const answer = await send(settings, { url, headers: range, accept: [416] });
  const resumes = answer.status === 206 && startOf(answer.headers) === have;
  if (answer.status === 416 || (answer.status === 206 && !resumes)) {
    answer.cancel();
    await rm(partial, { force: true });
    throw new TransientError('has no such part of the file');
  }
  if (!resumes) have = 0;
  const handle = await open(partial, resumes ? 'a' : 'w');
  try {
    for await (const chunk of answer.chunks()) {
      have += chunk.length;
      if (bytes !== null && have > bytes) {
        await handle.truncate(0);
        throw new TransientError('sent more bytes than the file has');
      }
      await handle.write(chunk);
      onBytes(have);
    }
    await handle.sync();
  } catch (error) {
    throw full(error, name, dirname(partial));
  } finally {
    answer.cancel();
    await handle.close();
  }
  if (bytes !== null && have < bytes) throw new TransientError('ended the file too early');
}

function full(error: unknown, name: string, folder: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new BantamError(
    `The disk is full at ${name}: free some space for ${folder}, or set HF_HUB_CACHE to another; what has arrived is kept.`,
  );
}

/** First byte of a partial answer. */
function startOf(headers: Headers): number {
  const [, start] = /^bytes (\d+)-/.exec(headers.get('content-range') ?? '') ?? [];
  return start === undefined ? -1 : Number(start);
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

/** The hash of a file, of the kind that an ETag has; null: it is of no known kind. */
async function hashOf(path: string, etag: string): Promise<string | null> {
  const isSha256 = /^[0-9a-f]{64}$/.test(etag);
  if (!isSha256 && !/^[0-9a-f]{40}$/.test(etag)) return null;
  const hash = createHash(isSha256 ? 'sha256' : 'sha1');
  if (!isSha256) hash.update(`blob ${await sizeOf(path)}\0`);
  await addFile(hash, path);
  return hash.digest('hex');
}
