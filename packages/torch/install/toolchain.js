import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, freemem, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { InstallError } from './install-error.js';
import { run } from './run.js';

const require = createRequire(import.meta.url);

/** Memory that one compiler process may take on ATen's headers, in bytes. */
const MEMORY_PER_JOB = 1.5e9;

const MIN_CMAKE = [3, 18];
const MIN_COMPILER = { g: 10, clang: 12 };

/**
 * @typedef {object} Toolchain
 * @property {string} cmake the CMake command
 * @property {string} generator CMake's generator name
 * @property {string} compiler the compiler command
 * @property {string} compilerVersion first line of its --version
 * @property {number} jobs compilers to run at once
 * @property {boolean} jpeg whether libjpeg-turbo's headers and library are there
 */

const mac = process.platform === 'darwin';

/**
 * Finds CMake, the C++ compiler and Ninja, or says which one is missing.
 *
 * @param {import('./environment.js').Env} env `CXX` names another compiler
 * @returns {Promise<Toolchain>}
 */
export async function findToolchain(env) {
  const compiler = env.CXX || 'c++';
  const [cmake, cxx, ninja] = await Promise.all([
    run('cmake', ['--version'], { env }),
    run(compiler, ['--version'], { env }),
    run('ninja', ['--version'], { env }),
  ]);
  if (cxx.code !== 0) {
    throw new InstallError(
      `There is no C++ compiler ("${compiler}" does not start): install one with "${mac ? 'xcode-select --install' : 'apt-get install g++'}", or name yours in CXX.`,
    );
  }
  if (cmake.code !== 0) {
    throw new InstallError(
      `CMake is missing ("cmake" does not start): install it with "${mac ? 'brew' : 'apt-get'} install cmake".`,
    );
  }
  if (ninja.code !== 0 && (await run('make', ['--version'], { env })).code !== 0) {
    throw new InstallError(
      `There is neither Ninja nor make to run the compiler: install one with "${mac ? 'brew install ninja' : 'apt-get install make'}".`,
    );
  }
  const [compilerVersion = ''] = cxx.output.split('\n');
  checkVersions(cmake.output, compilerVersion);
  return {
    cmake: 'cmake',
    generator: ninja.code === 0 ? 'Ninja' : 'Unix Makefiles',
    compiler,
    compilerVersion,
    jobs: compileJobs(env),
    jpeg: await hasJpeg(compiler, env),
  };
}

/**
 * Whether a program that needs libjpeg-turbo compiles and links. Other libraries of that interface
 * would do, but are no faster than what there is without.
 *
 * @param {string} compiler
 * @param {import('./environment.js').Env} env
 */
async function hasJpeg(compiler, env) {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-jpeg-'));
  try {
    const source = join(folder, 'probe.cc');
    writeFileSync(
      source,
      `#include <cstdio>
      #include <jpeglib.h>
      static_assert(LIBJPEG_TURBO_VERSION_NUMBER > 0);
      int main() { jpeg_decompress_struct info; jpeg_create_decompress(&info); }`,
    );
    const { code } = await run(compiler, [source, '-ljpeg', '-o', join(folder, 'probe')], { env });
    return code === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * As many compilers at once as there are cores and memory for, or `CMAKE_BUILD_PARALLEL_LEVEL`.
 *
 * @param {import('./environment.js').Env} env
 */
export function compileJobs(env) {
  const chosen = Number(env.CMAKE_BUILD_PARALLEL_LEVEL);
  if (Number.isInteger(chosen) && chosen > 0) return chosen;
  // macOS counts memory that holds cached files as taken.
  const memory = mac ? totalmem() / 2 : freemem();
  return Math.max(1, Math.min(availableParallelism(), Math.floor(memory / MEMORY_PER_JOB)));
}

/**
 * Refuses tools that are too old for C++20 and for the build file.
 *
 * @param {string} cmake output of `cmake --version`
 * @param {string} compiler first line of the compiler's --version
 */
export function checkVersions(cmake, compiler) {
  const [, major, minor] = /version (\d+)\.(\d+)/.exec(cmake) ?? [];
  if (
    major !== undefined &&
    Number(major) * 1000 + Number(minor) < MIN_CMAKE[0] * 1000 + MIN_CMAKE[1]
  ) {
    throw new InstallError(
      `CMake ${major}.${minor} is too old: install ${MIN_CMAKE.join('.')} or newer.`,
    );
  }
  const clang = /clang version (\d+)/.exec(compiler)?.[1];
  const gcc = /(?:g\+\+|c\+\+|GCC).*?\) (\d+)\./.exec(compiler)?.[1];
  const tooOld =
    (clang !== undefined && Number(clang) < MIN_COMPILER.clang) ||
    (clang === undefined && gcc !== undefined && Number(gcc) < MIN_COMPILER.g);
  if (tooOld) {
    throw new InstallError(
      `The C++ compiler is too old for C++20 (${compiler}): install GCC ${MIN_COMPILER.g} or Clang ${MIN_COMPILER.clang} or newer, or name one in CXX.`,
    );
  }
}

/** The Node-API headers that npm installed: include folders and what identifies them. */
export function nodeApi() {
  const headers = require('node-api-headers');
  const addonApi = dirname(require.resolve('node-addon-api/package.json'));
  const version = (/** @type {string} */ name) => require(`${name}/package.json`).version;
  return {
    headers: headers.include_dir,
    addonApi,
    versions: `node-api-headers ${version('node-api-headers')}, node-addon-api ${version('node-addon-api')}`,
  };
}
