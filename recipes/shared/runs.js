/** Helpers of all recipes: running the command line in parallel, and statistics of several seeds. */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../../packages/bantam/bin/bantam.js', import.meta.url));
const meter = new URL('cpu-time.js', import.meta.url).href;

/**
 * Runs one `bantam` command with its messages in a file; resolves to its exit status, its output and
 * the CPU seconds of all of its threads, the system's left out.
 *
 * @param {readonly string[]} args
 * @param {{ log: string, threads?: number | 'all' }} options `all`: as many as there are cores
 * @returns {Promise<{ status: number | null, output: string, cpuSeconds: number }>}
 */
export async function runBantam(args, { log, threads = 1 }) {
  const file = openSync(log, 'w');
  const child = spawn(process.execPath, ['--import', meter, bin, ...args], {
    stdio: ['ignore', 'pipe', file, 'pipe'],
    env: { ...process.env, ...(threads !== 'all' && { OMP_NUM_THREADS: String(threads) }) },
  });
  let output = '';
  let seconds = '';
  child.stdout.on('data', (text) => (output += text));
  child.stdio[3].on('data', (text) => (seconds += text));
  const status = await new Promise((resolve) => child.on('close', resolve));
  closeSync(file);
  return { status, output, cpuSeconds: Number(seconds) };
}

/**
 * Settings in groups, as `train()` takes them, as arguments of `--set`; later ones override.
 *
 * @param {readonly object[]} settings such as `{ train: { lr: 6e-4 } }`
 * @returns {string[]}
 */
export function settingArgs(...settings) {
  return settings.flatMap((group) => namedValues(group, ''));
}

function namedValues(group, prefix) {
  return Object.entries(group).flatMap(([name, value]) => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return namedValues(value, `${prefix}${name}.`);
    }
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return ['--set', `${prefix}${name}=${text}`];
  });
}

/**
 * Does the tasks in their order, `jobs` at a time.
 *
 * @template T
 * @param {readonly T[]} tasks
 * @param {number} jobs
 * @param {(task: T) => Promise<void>} work
 */
export async function runParallel(tasks, jobs, work) {
  const waiting = [...tasks];
  const lane = async () => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) await work(task);
  };
  await Promise.all(Array.from({ length: jobs }, lane));
}

/** Threads of each of `jobs` processes. */
export function threadsEach(jobs) {
  return Math.max(1, Math.floor(availableParallelism() / jobs));
}

/**
 * The rows of a run's metrics.jsonl; none if there is no run.
 *
 * @param {string} file
 * @returns {{ step: number, samples: number, seconds: number, loss: number }[]}
 */
export function readRows(file) {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((row) => JSON.parse(row));
}

/** @param {readonly number[]} numbers */
export function mean(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

/**
 * Standard deviation of a sample.
 *
 * @param {readonly number[]} numbers
 */
export function spread(numbers) {
  const centre = mean(numbers);
  const squares = numbers.map((number) => (number - centre) ** 2);
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / (numbers.length - 1));
}

/** @param {readonly number[]} numbers */
export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
