import { spawn } from 'node:child_process';

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

/** Ends what `run` has started and is still running; for the interrupt handler. */
export function stopChildren() {
  for (const child of running) child.kill('SIGTERM');
}

/**
 * Runs a program to its end and collects what it prints.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ env?: Record<string, string | undefined>, cwd?: string, onOutput?: (text: string) => void }} [options]
 * @returns {Promise<{ code: number | null, output: string }>} `code` is null where the program
 *   could not be started (not installed) or was ended by a signal
 */
export function run(program, args, { env = process.env, cwd, onOutput } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    running.add(child);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
        onOutput?.(text);
      });
    }
    child.on('error', (error) => {
      running.delete(child);
      resolve({ code: null, output: output + error.message });
    });
    child.on('close', (code) => {
      running.delete(child);
      resolve({ code, output });
    });
  });
}
