/** The check of a device, started by scripts/check-device.sh. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { root } from './run-step.js';
import { stepsFor } from './steps.js';

const usage = `Usage: scripts/check-device.sh [options]

Checks Bantam on a device and writes what it found to a JSON file. Each step has a limit of time, and one
that fails leaves the others to run.

  --device <name>   cuda, cuda:1, mps, cpu, or emulated, the device in software (default: a GPU, else cpu)
  --out <file>      the JSON file (default: device-check.json)
  --steps <names>   some of the steps, with commas
  --short           the same steps on little work, within a minute
  --baseline        install OpenCLIP first (5 GB), if there is none to compare rates with
  --help
`;

/** @returns {{ device: string, out: string, steps: string[] | null, short: boolean, baseline: boolean }} */
function readOptions() {
  const { values } = parseArgs({
    options: {
      device: { type: 'string', default: 'auto' },
      out: { type: 'string', default: 'device-check.json' },
      steps: { type: 'string' },
      short: { type: 'boolean', default: false },
      baseline: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    process.exit(0);
  }
  const { device, out, short, baseline } = values;
  return { device, out: resolve(out), steps: values.steps?.split(',') ?? null, short, baseline };
}

/** The commit of the checkout, with a mark if files differ from it; null: it is no repository. */
function commit() {
  try {
    const git = (/** @type {string[]} */ ...args) =>
      execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim();
    return git('rev-parse', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with changes');
  } catch {
    return null;
  }
}

/** @param {ReturnType<typeof readOptions>} options */
async function check({ out, ...options }) {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-check-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const report = {
    format: 1,
    date: new Date().toISOString(),
    commit: commit(),
    ...options,
    seconds: 0,
    /** @type {Record<string, object>} */
    steps: {},
  };
  const start = performance.now();
  let failures = 0;
  const steps = stepsFor({ ...options, folder });
  const unknown = options.steps?.find((name) => !steps.some((step) => step.name === name));
  if (unknown !== undefined) {
    const names = steps.map(({ name }) => name).join(', ');
    throw new Error(`There is no step "${unknown}"; choose from ${names}.`);
  }
  for (const { name, purpose, run } of steps) {
    if (options.steps !== null && !options.steps.includes(name)) continue;
    process.stderr.write(`${name}: ${purpose} …\n`);
    const { summary, ...result } = await run(report.steps).catch((error) => ({
      status: 'failed',
      seconds: 0,
      reason: error instanceof Error ? error.message : String(error),
      summary: [],
    }));
    report.steps[name] = result;
    report.seconds = Math.round((performance.now() - start) / 1000);
    // After each step, so that nothing is lost if the machine stops.
    writeFileSync(out, `${JSON.stringify(report, null, 1)}\n`);
    const ended = result.status === 'passed' || result.status === 'skipped';
    if (!ended) failures += 1;
    const reason = 'reason' in result && result.reason ? `: ${result.reason}` : '';
    process.stderr.write(
      `${ended ? '✔' : '✖'} ${name}: ${result.status} in ${result.seconds.toFixed(0)} s${reason}\n`,
    );
    for (const line of summary) process.stderr.write(`    ${line}\n`);
  }
  const verdict = failures === 0 ? 'Every step passed' : `${failures} of the steps did not pass`;
  process.stdout.write(`${verdict}, in ${report.seconds} s. Everything is in ${out}.\n`);
  return failures;
}

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
  process.on(signal, () => process.exit(signal === 'SIGINT' ? 130 : 143));
}
try {
  process.exitCode = (await check(readOptions())) > 0 ? 1 : 0;
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
