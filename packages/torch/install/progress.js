/** Milliseconds between two lines of a heartbeat: often on a terminal, sparsely in a log. */
const INTERVAL = process.stderr.isTTY ? 1000 : 10_000;

/**
 * Prints one progress line, on standard error as everything that is no answer.
 *
 * @param {string} text
 */
export function say(text) {
  process.stderr.write(`bantam: ${text}\n`);
}

/**
 * Runs long work under a heartbeat: a line with the elapsed time and `detail`, rewritten in place
 * on a terminal and printed at most every 10 seconds elsewhere.
 *
 * @template T
 * @param {string} label what is going on
 * @param {() => string | Promise<string>} detail how far it is
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withHeartbeat(label, detail, work) {
  const start = Date.now();
  let done = false;
  const beat = async () => {
    const line = `bantam: ${label}: ${duration(Date.now() - start)}, ${await detail()}`;
    if (done) return;
    process.stderr.write(process.stderr.isTTY ? `\r${line}\x1b[K` : `${line}\n`);
  };
  const timer = setInterval(() => void beat(), INTERVAL);
  try {
    return await work();
  } finally {
    done = true;
    clearInterval(timer);
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  }
}

/**
 * Elapsed time as people write it: `8 s`, `2 min 5 s`.
 *
 * @param {number} milliseconds
 */
export function duration(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/**
 * A file size as people write it: `940 kB`, `61 MB`, `1.3 GB`.
 *
 * @param {number} bytes
 */
export function size(bytes) {
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`;
  if (bytes < 1e9) return `${Math.round(bytes / 1e6)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
