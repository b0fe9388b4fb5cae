import { randomUUID } from 'node:crypto';
import {
  linkSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** The holder touches its lock this often … */
const TOUCH = 5000;
/** … so a lock untouched for this long has lost its holder, whatever machine that ran on. */
const ABANDONED = 60_000;
const POLL = 500;

/**
 * Takes a lock that other installs of this user respect. A lock whose process has died is taken
 * over.
 *
 * @param {string} path the lock file
 * @param {() => void} onWait called once where another install holds the lock
 * @returns {Promise<() => void>} releases the lock
 */
export async function takeLock(path, onWait) {
  const own = JSON.stringify({ pid: process.pid, host: hostname(), id: randomUUID() });
  let waiting = false;
  while (!create(path, own)) {
    const holder = readHolder(path);
    if (holder && isDead(holder)) {
      bury(path, holder.text);
      continue;
    }
    if (!waiting) onWait();
    waiting = true;
    await sleep(POLL);
  }
  const timer = setInterval(() => {
    if (readHolder(path)?.text === own) utimesSync(path, new Date(), new Date());
  }, TOUCH);
  timer.unref();
  return () => {
    clearInterval(timer);
    if (readHolder(path)?.text === own) rmSync(path, { force: true });
  };
}

/**
 * Creates the lock with its content in one step; false where it exists.
 *
 * @param {string} path
 * @param {string} text
 */
function create(path, text) {
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, text);
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/**
 * @param {string} path
 * @returns {{ text: string, touched: number } | undefined} undefined where nobody holds the lock
 */
function readHolder(path) {
  try {
    return { text: readFileSync(path, 'utf8'), touched: statSync(path).mtimeMs };
  } catch {
    return undefined;
  }
}

/** @param {{ text: string, touched: number }} holder */
function isDead({ text, touched }) {
  if (Date.now() - touched > ABANDONED) return true;
  try {
    const { pid, host } = JSON.parse(text);
    if (host !== hostname()) return false;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}

/**
 * Removes a dead holder's lock. Moved aside before it is removed, so that a lock which another
 * install took in the meantime is noticed and put back.
 *
 * @param {string} path
 * @param {string} text the dead holder's content
 */
function bury(path, text) {
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch {
    return; // Another install has buried it.
  }
  if (readFileSync(aside, 'utf8') !== text) linkSync(aside, path);
  rmSync(aside);
}
