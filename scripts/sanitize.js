/**
 * `npm run sanitize`: builds the addons with AddressSanitizer and UndefinedBehaviorSanitizer into
 * `packages/torch/build/sanitize`, and runs the tests of @bantam/torch and the fuzzer under them. Linux, GCC.
 *
 *     npm run sanitize                      build, all tests, 10,000 inputs for each fuzz target
 *     npm run sanitize -- test native       build, and the test files whose path holds the word
 *     npm run sanitize -- fuzz tar --count 500
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../packages/torch/install/environment.js';
import { libtorchFromCache } from '../packages/torch/install/fetch-libtorch.js';
import { libtorchOfUser } from '../packages/torch/install/libtorch.js';
import { findToolchain, nodeApi } from '../packages/torch/install/toolchain.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const native = join(root, 'packages', 'torch', 'native');
const build = join(root, 'packages', 'torch', 'build', 'sanitize');

/**
 * The first error ends the process. Optimised a little, so that the kernels' loops run in minutes. NDEBUG as
 * libtorch itself was compiled: some of its classes have other members without. `vptr` would ask its
 * classes for types that it does not export.
 */
const FLAGS =
  '-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1 -O1 -DNDEBUG';

/** A test under the sanitizers takes several times as long. */
const TEST_MINUTES = 20;

/**
 * Settings of the sanitizers' libraries, with the reason for each that turns a check off.
 */
const ASAN_OPTIONS = [
  // Node and libtorch keep memory until the process ends, on purpose.
  'detect_leaks=0',
  // libtorch and node each have an operator new of their own: what one gives, the other's delete frees.
  'alloc_dealloc_mismatch=0',
  // libtorch's libraries define some variables several times, each for itself.
  'detect_odr_violation=0',
  // Tests ask for more memory than there is, and expect an error.
  'allocator_may_return_null=1',
  // V8's compiled WebAssembly finds ends of its memory by this signal.
  'allow_user_segv_handler=1',
  'quarantine_size_mb=64',
  'abort_on_error=1',
];

/**
 * Runs a program to its end, with its output here.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {Record<string, string | undefined>} [env]
 */
function run(program, args, env = process.env) {
  const { status, signal, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit', env });
  if (error) console.error(`${program} does not start: ${error.message}`);
  if (signal) console.error(`${program} was ended by ${signal}`);
  return status ?? 1;
}

/** The path of one of the compiler's libraries. @param {string} compiler @param {string} name */
function libraryOf(compiler, name) {
  const { stdout } = spawnSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' });
  const path = stdout.trim();
  if (!existsSync(path)) {
    throw new Error(
      `${compiler} has no ${name}: install GCC with its sanitizers (apt-get install g++).`,
    );
  }
  return path;
}

/** Builds the addons. @param {import('../packages/torch/install/toolchain.js').Toolchain} toolchain */
async function compile(toolchain) {
  const { env } = process;
  const libtorch =
    libtorchOfUser(env) ?? (await libtorchFromCache({ cache: cacheFolder(env), cuda: false, env }));
  const headers = nodeApi();
  const work = join(build, 'cmake');
  const configured = run(toolchain.cmake, [
    ...['-S', native, '-B', work, '-G', toolchain.generator, '-DCMAKE_BUILD_TYPE=Sanitize'],
    `-DCMAKE_CXX_COMPILER=${toolchain.compiler}`,
    `-DCMAKE_CXX_FLAGS=${FLAGS}`,
    `-DCMAKE_MODULE_LINKER_FLAGS=-fsanitize=address,undefined`,
    `-DLIBTORCH=${libtorch.path}`,
    `-DNODE_API_HEADERS=${headers.headers}`,
    `-DNODE_ADDON_API=${headers.addonApi}`,
    `-DADDON_DIR=${build}`,
    `-DBANTAM_JPEG=${toolchain.jpeg ? 'ON' : 'OFF'}`,
  ]);
  if (configured !== 0) return configured;
  return run(toolchain.cmake, ['--build', work, '--parallel', String(toolchain.jobs)]);
}

/** @param {string} compiler */
function sanitizedEnvironment(compiler) {
  // Node does not link the sanitizers' library, so it is loaded first; it wants C++'s beside it.
  const preload = ['libasan.so', 'libstdc++.so'].map((name) => libraryOf(compiler, name));
  return {
    ...process.env,
    SANITIZED_ADDONS: build,
    LD_PRELOAD: preload.join(':'),
    ASAN_OPTIONS: ASAN_OPTIONS.join(':'),
    UBSAN_OPTIONS: 'print_stacktrace=1',
    NODE_OPTIONS: `--require=${join(root, 'scripts', 'sanitize', 'redirect.cjs')}`,
    OMP_NUM_THREADS: '2',
    UV_THREADPOOL_SIZE: '2',
  };
}

/** @param {readonly string[]} words @param {Record<string, string | undefined>} env */
function test(words, env) {
  const folder = join(root, 'packages', 'torch', 'dist');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.js'))
    .filter((name) => words.length === 0 || words.some((word) => name.includes(word)))
    .sort()
    .map((name) => join(folder, name));
  return run(
    process.execPath,
    [
      ...['--expose-gc', '--test', '--test-reporter=spec'],
      `--test-concurrency=${Math.min(2, availableParallelism())}`,
      `--test-timeout=${TEST_MINUTES * 60_000}`,
      ...files,
    ],
    env,
  );
}

const [task = 'all', ...rest] = process.argv.slice(2);
if (!['all', 'build', 'test', 'fuzz'].includes(task)) {
  console.error(`There is no task "${task}"; there are build, test and fuzz.`);
  process.exit(2);
}
const toolchain = await findToolchain(process.env);
let status = await compile(toolchain);
if (status === 0 && task !== 'build') {
  const env = sanitizedEnvironment(toolchain.compiler);
  if (task !== 'fuzz') status = test(rest, env);
  if (task !== 'test') {
    const fuzzer = join(root, 'packages', 'bantam', 'dist-test', 'fuzz', 'main.js');
    status = run(process.execPath, [fuzzer, ...rest], env) || status;
  }
}
process.exitCode = status;
