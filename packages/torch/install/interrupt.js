import { stopChildren } from './run.js';

/** @type {Set<() => void>} */
const cleanups = new Set();

/**
 * Runs `work`, and `cleanup` after it, whether it ended, failed or was interrupted.
 *
 * @template T
 * @param {() => void} cleanup synchronous
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withCleanup(cleanup, work) {
  cleanups.add(cleanup);
  try {
    return await work();
  } finally {
    cleanups.delete(cleanup);
    cleanup();
  }
}

/** Makes Ctrl-C and termination leave nothing half-done behind. */
export function handleInterrupts() {
  for (const [signal, number] of [
    ['SIGHUP', 1],
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ]) {
    process.once(signal, () => {
      stopChildren();
      for (const cleanup of [...cleanups].reverse()) cleanup();
      console.error('bantam: interrupted; install again.');
      process.exit(128 + number);
    });
  }
}
