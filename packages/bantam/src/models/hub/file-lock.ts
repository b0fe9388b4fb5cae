import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolder } from '../../base/make-folder.js';
import { isProcessAlive } from '../../base/process-alive.js';

/** Milliseconds between signs of life, and without one after which a lock counts as abandoned. */
const BEAT = 5_000;
const ABANDONED = 60_000;
/** Milliseconds between looks at a lock that another process holds. */
const POLL = 200;

/** Owner of a lock, as its file names it. */
interface Owner {
  readonly process: number;
  readonly host: string;
  /** Different for every lock that was ever taken. */
  readonly token: string;
}

/**
 * Runs `body` while this process holds a lock file; others that ask for it wait. The lock of a process that was
 * killed is taken over at once on the same machine, and after a minute from another one.
 *
 * Node has no `flock`, and the npm packages for lock files need ten seconds to notice a dead owner, or do not.
 *
 * @param onWait - Receives the process that holds the lock, once
 */
export async function withFileLock<T>(
  path: string,
  body: () => Promise<T>,
  onWait: (process: number) => void = () => undefined,
): Promise<T> {
  const own: Owner = { process: process.pid, host: hostname(), token: randomUUID() };
  makeFolder(dirname(path));
  let told = false;
  while (!take(path, own)) {
    const owner = ownerOf(path);
    if (owner !== null && !told) {
      told = true;
      onWait(owner.process);
    }
    await sleep(POLL);
  }
  const beat = setInterval(() => {
    if (ownerOf(path)?.token === own.token) utimesSync(path, new Date(), new Date());
  }, BEAT);
  beat.unref();
  try {
    return await body();
  } finally {
    clearInterval(beat);
    if (ownerOf(path)?.token === own.token) unlinkSync(path);
  }
}

/** Takes a lock that is free or abandoned. */
function take(path: string, own: Owner): boolean {
  try {
    writeFileSync(path, JSON.stringify(own), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const owner = ownerOf(path);
  if (owner === null ? !isOld(path) : !isAbandoned(path, owner)) return false;
  return takeOver(path, owner?.token ?? 'damaged', own);
}

/**
 * Takes over the lock of a dead owner. Of several processes that see it dead, the one that makes the file
 * named after the dead lock replaces it; whoever makes that file later sees another owner.
 */
function takeOver(path: string, dead: string, own: Owner): boolean {
  const claim = `${path}.${dead}`;
  try {
    writeFileSync(claim, JSON.stringify(own), { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    // Its maker died as well, between two lines of this function.
    if (isOld(claim)) unlinkSync(claim);
    return false;
  }
  if ((ownerOf(path)?.token ?? 'damaged') === dead) {
    renameSync(claim, path);
    return true;
  }
  unlinkSync(claim);
  return false;
}

function ownerOf(path: string): Owner | null {
  try {
    const owner = JSON.parse(readFileSync(path, 'utf8')) as Partial<Owner>;
    const { process: id, host, token } = owner;
    if (typeof id !== 'number' || typeof host !== 'string' || typeof token !== 'string')
      return null;
    return { process: id, host, token };
  } catch {
    return null;
  }
}

function isAbandoned(path: string, owner: Owner): boolean {
  if (owner.host === hostname() && !isProcessAlive(owner.process)) return true;
  return isOld(path);
}

function isOld(path: string): boolean {
  try {
    return Date.now() - statSync(path).mtimeMs > ABANDONED;
  } catch {
    return false;
  }
}
