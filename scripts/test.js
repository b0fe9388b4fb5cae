/**
 * `npm test`: types, lint, then every test file; the last line counts checks and tests.
 *
 *     npm test                      everything
 *     npm test -- safetensors text  types, and only the test files whose path has one of the words
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Folders of compiled tests and of their sources; the same folder for those in plain JavaScript. */
const FOLDERS = [
  { compiled: 'scripts', source: 'scripts' },
  { compiled: 'packages/torch/install', source: 'packages/torch/install' },
  { compiled: 'packages/torch/dist', source: 'packages/torch/src' },
  { compiled: 'packages/create-bantam', source: 'packages/create-bantam' },
  { compiled: 'packages/bantam/dist', source: 'packages/bantam/src' },
  { compiled: 'packages/bantam/dist-test', source: 'packages/bantam/test' },
  { compiled: 'packages/web/dist', source: 'packages/web/src' },
  { compiled: 'bench/dist', source: 'bench/src' },
];

/**
 * Files at once; each gets one thread of libtorch. Two processes with two threads each on two cores
 * would wait for each other at every parallel loop, several times as long as they compute.
 */
const CONCURRENCY = Math.min(2, availableParallelism());
const TIMEOUT_MINUTES = 8;

/**
 * The test files to run. A compiled test whose source is gone is left out: the compiler does not
 * remove it.
 *
 * @param {readonly string[]} words paths to take; all where there are none
 * @returns {string[]} relative to the root
 */
function testFiles(words) {
  return FOLDERS.flatMap(({ compiled, source }) => {
    const folder = join(root, compiled);
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { recursive: true })
      .filter((name) => name.endsWith('.test.js') && !name.includes('node_modules'))
      .map((name) => {
        const written = compiled === source ? name : name.replace(/js$/, 'ts');
        return { file: join(compiled, name), source: join(source, written) };
      })
      .filter((test) => existsSync(join(root, test.source)))
      .filter((test) => words.length === 0 || words.some((word) => matches(test, word)))
      .map(({ file }) => file)
      .sort();
  });
}

/**
 * @param {{ file: string, source: string }} test
 * @param {string} word part of a path, relative or absolute
 */
function matches({ file, source }, word) {
  const path = word.startsWith(root) ? relative(root, word) : word;
  return file.includes(path) || source.includes(path);
}

/**
 * Runs one of the workspace's npm scripts as a check of its own.
 *
 * @param {string} title
 * @param {string} script
 */
function check(title, script) {
  console.log(`\n${title}`);
  const { status } = spawnSync('npm', ['run', '--silent', script], { cwd: root, stdio: 'inherit' });
  console.log(status === 0 ? `✔ ${title}` : `✖ ${title} (npm run ${script})`);
  return { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, skipped: 0 };
}

/**
 * Runs test files, each in a process of its own.
 *
 * @param {readonly string[]} files
 * @param {NodeJS.ProcessEnv} [variables] of the tests' environment
 */
function runTests(files, variables = {}) {
  console.log(`\n${files.length} test files`);
  const folder = mkdtempSync(join(tmpdir(), 'bantam-test-'));
  const counts = join(folder, 'counts.json');
  const reporters = [
    ['spec', 'stdout'],
    [join(root, 'scripts', 'count-reporter.js'), counts],
  ];
  const { status } = spawnSync(
    process.execPath,
    [
      ...['--expose-gc', '--test', `--test-concurrency=${CONCURRENCY}`],
      `--test-timeout=${TIMEOUT_MINUTES * 60_000}`,
      ...reporters.flatMap(([reporter, destination]) => [
        `--test-reporter=${reporter}`,
        `--test-reporter-destination=${destination}`,
      ]),
      ...files,
    ],
    { cwd: root, stdio: 'inherit', env: { OMP_NUM_THREADS: '1', ...process.env, ...variables } },
  );
  const text = existsSync(counts) ? readFileSync(counts, 'utf8') : '';
  rmSync(folder, { recursive: true, force: true });
  const { passed, failed, skipped } = text
    ? JSON.parse(text)
    : { passed: 0, failed: 0, skipped: 0 };
  // Whatever else made the runner fail must not end as a success.
  return { passed, failed: status !== 0 && failed === 0 ? 1 : failed, skipped };
}

/** Levels of BANTAM_MAX_ISA, each with the instructions of those before it. */
const LEVELS = ['default', 'avx2', 'avx512', 'avx512_bf16', 'amx'];

/** Test files of Bantam's own kernels, which run at every level. */
const KERNEL_TESTS =
  /packages\/torch\/dist\/((kernels|non-finite|int8|image)|ops\/(batch-norm|depthwise|packed))\.test\.js$/;

/**
 * The level at which kernels run under a value of BANTAM_MAX_ISA, or undefined where it is refused.
 *
 * @param {string | undefined} limit
 */
function levelUnder(limit) {
  const program = `process.stdout.write((await import('./packages/torch/dist/index.js')).instructionLevel())`;
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', program],
    { cwd: root, encoding: 'utf8', env: { ...process.env, BANTAM_MAX_ISA: limit ?? '' } },
  );
  return status === 0 ? stdout : undefined;
}

/**
 * Runs the tests of kernels at the levels below the CPU's own, and on emulated AMX where
 * there are none, then says at which levels they ran.
 *
 * @param {readonly string[]} files
 */
function runLevels(files) {
  const own = levelUnder(undefined);
  if (own === undefined) return { passed: 0, failed: 1, skipped: 0 };
  const lower = LEVELS.slice(0, LEVELS.indexOf(own));
  // AVX2 with and without AVX-VNNI: one level with two kernels.
  const limits = lower.flatMap((limit) => (limit === 'avx2' ? [limit, 'avx2_vnni'] : [limit]));
  const emulated = own !== 'amx' && levelUnder('amx_emulated') === 'amx';
  const counts = [...limits, ...(emulated ? ['amx_emulated'] : [])].map((limit) => {
    console.log(`\nKernels at level ${limit}`);
    return runTests(files, { BANTAM_MAX_ISA: limit });
  });
  const ran = [...limits, own, ...(emulated ? ['amx (emulated)'] : [])];
  const lacking = LEVELS.slice(LEVELS.indexOf(own) + 1);
  console.log(`\nKernels' tests ran at the levels ${ran.join(', ')}.`);
  if (lacking.length > 0) console.log(`This CPU does not have: ${lacking.join(', ')}.`);
  return sumOf(counts);
}

/** @param {readonly { passed: number, failed: number, skipped: number }[]} results */
function sumOf(results) {
  const total = (/** @type {'passed' | 'failed' | 'skipped'} */ kind) =>
    results.reduce((sum, result) => sum + result[kind], 0);
  return { passed: total('passed'), failed: total('failed'), skipped: total('skipped') };
}

const words = process.argv.slice(2);
const results = [];
// Before the linter, which reads one package's types as they were built for the other.
results.push(check('Types and build', 'compile'));
if (words.length === 0) results.push(check('Lint and format', 'lint'));

const files = testFiles(words);
const tests = files.length > 0 ? runTests(files) : { passed: 0, failed: 0, skipped: 0 };
if (tests.passed + tests.failed === 0) {
  console.log(`✖ no test ran${words.length > 0 ? ` for "${words.join(' ')}"` : ''}`);
  tests.failed = 1;
}
results.push(tests);
const kernelTests = files.filter((file) => KERNEL_TESTS.test(file));
// A limit that the user has set is the one level to test.
if (kernelTests.length > 0 && !process.env.BANTAM_MAX_ISA) results.push(runLevels(kernelTests));

const { passed, failed, skipped } = sumOf(results);
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;
