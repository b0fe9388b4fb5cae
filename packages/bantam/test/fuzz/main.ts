/**
 * `npm run fuzz`: feeds each reader with mutated inputs and keeps those that break what it promises
 * (targets.ts). A failing input is saved, with the command that runs it again.
 *
 *     npm run fuzz                                 every target, 10,000 inputs each
 *     npm run fuzz -- tar csv --count 500 --seed 7
 *     npm run fuzz -- tar --input FILE             one input
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { findTarget, makeInput, type FuzzModule } from './run.js';

/** After so many failures a target is left: they tend to have one cause. */
const mostFailures = 5;

interface Options {
  readonly targets: string;
  readonly seed: number;
  readonly count: number;
  /** Seconds that an input may take. */
  readonly limit: number;
  /** MiB that an input may take. */
  readonly memory: number;
  /** Folder of failing inputs. */
  readonly out: string;
}

/** How one process of run.ts ended. */
interface Ended {
  readonly done: boolean;
  /** The last input that it began; −1 where it began none. */
  readonly index: number;
  readonly problem: string;
}

/** Runs inputs from one on in a process of its own until one fails, or all are done. */
async function runFrom(name: string, from: number, options: Options): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-fuzz-'));
  const progress = join(folder, 'progress');
  const at = (): number => {
    try {
      return Number(readFileSync(progress, 'utf8'));
    } catch {
      return -1;
    }
  };
  const { targets, seed, count, limit, memory } = options;
  const child = spawn(
    process.execPath,
    [
      ...[fileURLToPath(new URL('run.js', import.meta.url)), name, '--targets', targets],
      ...['--seed', String(seed), '--from', String(from), '--to', String(count)],
      ...['--memory', String(memory), '--progress', progress],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    // A reader that prints without end must not fill this process.
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-1e5)));
  }
  let last = -1;
  let since = Date.now();
  const state = { hangs: false };
  const watch = setInterval(() => {
    const index = at();
    if (index !== last) [last, since] = [index, Date.now()];
    // Loading libtorch, before the first input, takes longer.
    if (Date.now() - since < limit * 1000 + (index < 0 ? 120_000 : 0)) return;
    state.hangs = true;
    child.kill('SIGKILL');
  }, 100);
  const ended = await new Promise<string>((resolve) => {
    child.on('close', (status, signal) => {
      resolve(status === null ? `signal ${String(signal)}` : `status ${status}`);
    });
  });
  clearInterval(watch);
  const index = at();
  rmSync(folder, { recursive: true, force: true });
  const reason = state.hangs
    ? `It took more than ${limit} s.`
    : /^status [03]$/.test(ended)
      ? ''
      : ended;
  return { done: ended === 'status 0', index, problem: `${reason}\n${output}`.trim() };
}

/** Runs all inputs of a target; returns how many fail. */
async function fuzz(name: string, options: Options): Promise<number> {
  const { targets, seed, count, out } = options;
  const target = await findTarget(name, targets);
  const folder = mkdtempSync(join(tmpdir(), 'bantam-fuzz-'));
  const start = Date.now();
  let failures = 0;
  let outcome = '';
  try {
    const seeds = await target.seeds(folder);
    for (let from = 0; from < count && failures < mostFailures;) {
      const { done, index, problem } = await runFrom(name, from, options);
      if (done) {
        outcome = problem.split('\n').at(-1) ?? '';
        break;
      }
      if (index < from) throw new Error(`"${name}" did not begin: ${problem}`);
      failures++;
      mkdirSync(out, { recursive: true });
      const file = join(out, `${name}-${seed}-${index}`);
      writeFileSync(file, makeInput(target, seeds, { seed, index }));
      console.log(`✖ ${name}: input ${index} of seed ${seed}: ${problem.slice(0, 4000)}`);
      console.log(`  again: npm run fuzz -- ${name} --input ${relative(process.cwd(), file)}`);
      from = index + 1;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const seconds = ((Date.now() - start) / 1000).toFixed(0);
  if (failures === 0)
    console.log(`✔ ${name}: ${count} inputs of seed ${seed} in ${seconds} s, ${outcome}`);
  return failures;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      targets: { type: 'string', default: fileURLToPath(new URL('targets.js', import.meta.url)) },
      seed: { type: 'string', default: '1' },
      count: { type: 'string', default: '10000' },
      limit: { type: 'string', default: '10' },
      memory: { type: 'string', default: '1024' },
      out: { type: 'string', default: 'fuzz-failures' },
      input: { type: 'string' },
    },
  });
  const module = (await import(pathToFileURL(values.targets).href)) as FuzzModule;
  const names = positionals.length > 0 ? positionals : module.targets.map(({ name }) => name);
  if (values.input !== undefined) {
    const run = fileURLToPath(new URL('run.js', import.meta.url));
    const args = [run, ...names, '--targets', values.targets, '--input', values.input];
    const child = spawn(process.execPath, args, { stdio: 'inherit' });
    return new Promise((resolve) => {
      child.on('close', (status) => {
        resolve(status ?? 1);
      });
    });
  }
  const options = {
    ...{ targets: values.targets, out: values.out, seed: Number(values.seed) },
    ...{ count: Number(values.count), limit: Number(values.limit) },
    memory: Number(values.memory),
  };
  let failures = 0;
  for (const name of names) failures += await fuzz(name, options);
  return failures === 0 ? 0 : 1;
}

process.exitCode = await main();
