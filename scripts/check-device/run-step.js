import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from 'node:timers';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Time from the request to end to the end by force, in milliseconds. */
const GRACE = 5000;

/** Characters of a failed program's output that are kept: its end says most. */
const KEPT = 4000;

/**
 * @typedef {object} Ended a program that came to its end
 * @property {'passed' | 'failed' | 'timed out'} status
 * @property {number} seconds
 * @property {string} stdout
 * @property {string} [output] the end of what it printed, if it did not pass
 */

/**
 * Runs a program of the checkout with all that it starts, for at most so many seconds.
 *
 * @param {readonly string[]} command program and arguments
 * @param {object} options
 * @param {number} options.limit seconds
 * @param {Record<string, string>} [options.env] variables beside those of this process
 * @returns {Promise<Ended>}
 */
export function runProgram([program = '', ...args], { limit, env = {} }) {
  const start = performance.now();
  return new Promise((resolve) => {
    let stdout = '';
    let printed = '';
    let late = false;
    // A group of its own, so that its own children end with it.
    const child = spawn(program, args, {
      cwd: root,
      detached: true,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const end = (/** @type {NodeJS.Signals} */ signal) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal);
      } catch {
        // It has ended.
      }
    };
    const timers = [
      setTimeout(() => {
        late = true;
        end('SIGTERM');
        timers.push(setTimeout(() => end('SIGKILL'), GRACE));
      }, limit * 1000),
    ];
    const stop = () => end('SIGKILL');
    process.once('exit', stop);
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
      printed = (printed + text).slice(-KEPT);
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      printed = (printed + text).slice(-KEPT);
    });
    const done = (/** @type {boolean} */ passed) => {
      timers.forEach(clearTimeout);
      process.off('exit', stop);
      const status = late ? 'timed out' : passed ? 'passed' : 'failed';
      const seconds = (performance.now() - start) / 1000;
      resolve({ status, seconds, stdout, ...(status !== 'passed' && { output: printed }) });
    };
    child.on('error', (error) => {
      printed += error.message;
      done(false);
    });
    child.on('close', (code) => done(code === 0));
  });
}

/**
 * What a report keeps of a program that ended.
 *
 * @param {Ended} ended
 */
export function withoutStdout({ status, seconds, output }) {
  return { status, seconds, ...(output !== undefined && { output }) };
}
