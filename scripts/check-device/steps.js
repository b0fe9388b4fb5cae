/** The steps of the check of a device, in order. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseJson } from './parse-json.js';
import { measureRates } from './rates.js';
import { root, runProgram, withoutStdout } from './run-step.js';

/**
 * @typedef {object} Options
 * @property {string} device as the user named it
 * @property {boolean} short
 * @property {boolean} baseline install the baseline if there is none
 * @property {string} folder for files of the check
 */

/**
 * @typedef {{ status: string, seconds: number, reason?: string, summary: string[] } & Record<string, unknown>} Result
 * @typedef {object} Step
 * @property {string} name
 * @property {string} purpose
 * @property {(earlier: Record<string, any>) => Promise<Result>} run
 */

const node = process.execPath;
const bantam = [node, join('packages', 'bantam', 'bin', 'bantam.js')];

/** cuBLAS and cuDNN round float32 to TF32's ten bits if they may: nothing to compare with a CPU. */
const exact = { NVIDIA_TF32_OVERRIDE: '0' };

/**
 * Runs a program that prints JSON, and keeps what it printed.
 *
 * @param {readonly string[]} command
 * @param {{ limit: number, env?: Record<string, string>, summary: (found: any) => string[] }} options
 * @returns {Promise<Result>}
 */
async function runForJson(command, { summary, ...options }) {
  const { stdout, ...ended } = await runProgram(command, options);
  const found = parseJson(stdout);
  // A command that fails answers with its error.
  const failed = found === null || found.error !== undefined;
  if (failed) {
    const reason = found?.error ?? lastLine(ended.output);
    return { ...ended, reason, summary: [] };
  }
  return { ...ended, found, summary: summary(found) };
}

/** @param {string} [output] */
function lastLine(output = '') {
  return output.trim().split('\n').at(-1)?.slice(0, 500) ?? '';
}

/** @param {number} bytes */
const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;

/** @param {Options} options @returns {Step[]} */
export function stepsFor(options) {
  const { device, short, folder } = options;
  /** @param {Record<string, any>} earlier */
  const isGpu = (earlier) =>
    device === 'auto'
      ? (earlier.doctor?.machine?.runtime?.devices?.length ?? 1) > 1
      : /^(cuda|mps)/.test(device);
  return [
    { name: 'setup', purpose: 'libtorch, the addon and the types', run: () => setUp() },
    { name: 'doctor', purpose: 'driver, GPUs and rates of products', run: () => examine(device) },
    {
      name: 'tests',
      purpose: 'the tests that compare a device with the CPU',
      run: () => (short ? skip('npm test runs them') : runTests(device)),
    },
    {
      name: 'parity',
      purpose: "features, losses, gradients and fifty steps beside the CPU's",
      run: () =>
        runForJson(
          [node, 'scripts/check-device/parity.js', device, ...(short ? ['--short'] : [])],
          { limit: 75, env: exact, summary: describeParity },
        ),
    },
    {
      name: 'rates',
      purpose: 'samples per second, beside OpenCLIP if it is installed',
      run: (earlier) => measureRates({ ...options, onGpu: isGpu(earlier) }),
    },
    {
      name: 'memory',
      purpose: 'planned memory beside memory taken',
      run: (earlier) => {
        const [model, batch] = isGpu(earlier)
          ? ['ViT-B-32', '256']
          : ['ViT-Nano-16-64', short ? '8' : '32'];
        const work = join(folder, 'memory');
        mkdirSync(work, { recursive: true });
        return runForJson([node, 'scripts/check-device/memory.js', device, model, batch, work], {
          limit: 45,
          summary: describeMemory,
        });
      },
    },
    {
      name: 'training',
      purpose: "the quickstart's training for 45 seconds, and its evaluation",
      run: () => (short ? skip('the short form has no data to download') : quickstart(options)),
    },
  ];
}

/** @param {string} reason @returns {Promise<Result>} */
function skip(reason) {
  return Promise.resolve({ status: 'skipped', seconds: 0, reason, summary: [] });
}

/** @returns {Promise<Result>} */
async function setUp() {
  // The first time it fetches gigabytes: that time is not the check's.
  const native = await runProgram([node, 'packages/torch/install/install.js'], { limit: 1800 });
  if (native.status !== 'passed') {
    return { ...withoutStdout(native), reason: lastLine(native.output), summary: [] };
  }
  const compiled = await runProgram(['npm', 'run', '--silent', 'compile'], { limit: 300 });
  const { build, libtorch } = JSON.parse(
    readFileSync(join(root, 'packages', 'torch', 'build', 'build.json'), 'utf8'),
  );
  const cuda = existsSync(join(libtorch, 'lib', 'libtorch_cuda.so'));
  return {
    status: compiled.status,
    seconds: native.seconds + compiled.seconds,
    ...(compiled.output !== undefined && { output: compiled.output }),
    libtorch: build,
    cuda,
    summary: [`libtorch ${build}${cuda ? ' with' : ' without'} its CUDA part`],
  };
}

/** @param {string} device @returns {Promise<Result>} */
async function examine(device) {
  const { stdout, ...ended } = await runProgram([...bantam, 'doctor', '--json'], { limit: 45 });
  const found = parseJson(stdout);
  if (found === null) return { ...ended, reason: lastLine(ended.output), summary: [] };
  // Names of folders are the user's own.
  const { cpu, memory, platform, node: version, runtime, runtimeError, problems } = found;
  const machine = { cpu, memory, platform, node: version, runtime, runtimeError, problems };
  const type = device.split(':')[0];
  const isThere =
    ['auto', 'cpu', 'emulated'].includes(device) ||
    runtime?.devices.some((/** @type {string} */ name) => name.split(':')[0] === type);
  const reason = runtimeError ?? (isThere ? undefined : missing(type, runtime));
  return {
    ...ended,
    ...(reason !== undefined && { status: 'failed', reason }),
    machine,
    summary: [
      ...(runtime?.cuda.gpus ?? []).map(
        (/** @type {{ name: string, capability: string, bytes: number }} */ gpu) =>
          `${gpu.name}, compute capability ${gpu.capability}, ${gigabytes(gpu.bytes)}`,
      ),
      ...(runtime?.rates ?? []).map(
        (/** @type {{ device: string, dtype: string, gflops: number }} */ rate) =>
          `${rate.device}, ${rate.dtype}: ${rate.gflops.toFixed(0)} GFLOP/s`,
      ),
      ...problems.map((/** @type {{ what: string, remedy: string }} */ problem) => {
        return `problem: ${problem.what}; ${problem.remedy}`;
      }),
    ],
  };
}

/** @param {string | undefined} type @param {any} runtime */
function missing(type, runtime) {
  const problem = type === 'cuda' ? runtime?.cuda.problem : null;
  return problem ? `${problem.what}; ${problem.remedy}` : `there is no ${type} device here`;
}

/** @param {string} device @returns {Promise<Result>} */
async function runTests(device) {
  const files = [
    ...['cuda', 'device', 'optim/grad-scaler'].map((name) => `packages/torch/dist/${name}.test.js`),
    ...['devices', 'device-runs'].map((name) => `packages/bantam/dist/train/${name}.test.js`),
  ];
  const options = [
    ...['--expose-gc', '--test', '--test-concurrency=2'],
    `--test-reporter=${join(root, 'scripts', 'check-device', 'test-reporter.js')}`,
    '--test-reporter-destination=stdout',
  ];
  const env = { ...exact, ...(device !== 'auto' && { BANTAM_TEST_DEVICE: device }) };
  const { stdout, output, ...ended } = await runProgram([node, ...options, ...files], {
    limit: 180,
    env,
  });
  const tests = stdout.split('\n').flatMap((line) => parseJson(line) ?? []);
  const count = (/** @type {string} */ result) =>
    tests.filter((/** @type {{ result: string }} */ test) => test.result === result).length;
  const failures = tests.filter((/** @type {{ result: string }} */ t) => t.result === 'failed');
  const counts = { passed: count('passed'), failed: count('failed'), skipped: count('skipped') };
  return {
    ...ended,
    ...(counts.passed === 0 && { status: 'failed', output }),
    ...counts,
    failures,
    summary: [
      `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`,
      ...failures.map((/** @type {{ name: string, reason: string }} */ test) => {
        return `failed: ${test.name}: ${lastLine(test.reason?.split('\n')[0])}`;
      }),
    ],
  };
}

/** @param {any} found */
function describeParity({ presets, steps, tolerances }) {
  const most = (/** @type {string} */ what) =>
    Math.max(...presets.map((/** @type {Record<string, number>} */ preset) => preset[what]));
  const figure = (/** @type {number} */ value) => value.toExponential(1);
  return [
    `${presets.length} models, the largest differences: ${Object.keys(tolerances)
      .map((what) => `${what} ${figure(most(what))} of ${figure(tolerances[what])}`)
      .join(', ')}`,
    `${steps.steps} steps in ${steps.dtype}: loss ${steps.first.toFixed(3)} to ${steps.last.toFixed(3)}, apart by ${figure(steps.loss)}; weights by ${figure(steps.weights)}`,
    ...presets.flatMap((/** @type {{ preset: string, over: string[] }} */ { preset, over }) =>
      over.length === 0 ? [] : [`over the tolerance: ${preset}, ${over.join(', ')}`],
    ),
  ];
}

/** @param {any} found */
function describeMemory({ model, batchSize, planned, taken, ratio, samplesPerSecond }) {
  return [
    `${model}, batch ${batchSize}: planned ${gigabytes(planned)}, taken ${gigabytes(taken)}, ratio ${ratio.toFixed(2)}`,
    `${samplesPerSecond.toFixed(1)} samples/s in its last step`,
  ];
}

/** @param {Options} options */
function quickstart({ device, folder }) {
  const out = join(folder, 'quickstart');
  const flags = ['--out', out, '--budget', '45s', '--device', device, '--json'];
  return runForJson([...bantam, 'quickstart', ...flags], {
    limit: 120,
    summary: ({ evaluation }) => {
      const rows = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trimEnd().split('\n');
      const { samples, seconds, loss } = JSON.parse(rows[rows.length - 1]);
      return [
        `${samples} samples in ${seconds.toFixed(0)} s, loss ${loss.toFixed(2)}`,
        ...evaluation.map((/** @type {any} */ { dataset, task, metrics }) => {
          return `${dataset}, ${task}: ${JSON.stringify(metrics).slice(0, 120)}`;
        }),
      ];
    },
  });
}
