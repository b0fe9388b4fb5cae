import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InstallError } from './install-error.js';
import { withHeartbeat } from './progress.js';
import { run } from './run.js';

/** Compiler errors to show; the log has them all. */
const SHOWN = 20;

/**
 * Configures and builds the addon with CMake. What both print goes to `build/compile.log`.
 *
 * @param {object} options
 * @param {string} options.native folder of the sources
 * @param {string} options.build where the addon goes
 * @param {import('./libtorch.js').Libtorch} options.libtorch
 * @param {import('./toolchain.js').Toolchain} options.toolchain
 * @param {ReturnType<typeof import('./toolchain.js').nodeApi>} options.headers
 * @param {import('./environment.js').Env} options.env
 */
export async function compile({ native, build, libtorch, toolchain, headers, env }) {
  const work = join(build, 'cmake');
  const configure = [
    ...['-S', native, '-B', work, '-G', toolchain.generator],
    '-DCMAKE_BUILD_TYPE=Release',
    `-DCMAKE_CXX_COMPILER=${toolchain.compiler}`,
    `-DLIBTORCH=${libtorch.path}`,
    `-DNODE_API_HEADERS=${headers.headers}`,
    `-DNODE_ADDON_API=${headers.addonApi}`,
    `-DADDON_DIR=${build}`,
    `-DBANTAM_JPEG=${toolchain.jpeg ? 'ON' : 'OFF'}`,
  ];
  // CMake keeps what it found at first: a folder of another compiler or generator starts afresh.
  const identity = JSON.stringify([configure, toolchain.compilerVersion, env.CXXFLAGS]);
  const marker = join(work, 'identity.json');
  if (!existsSync(marker) || readFileSync(marker, 'utf8') !== identity) {
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work, { recursive: true });
    writeFileSync(marker, identity);
  }
  const log = join(build, 'compile.log');
  const configured = await run(toolchain.cmake, configure, { env });
  writeFileSync(log, configured.output);
  if (configured.code !== 0) throw compileError(log, configured.output);
  let last = '';
  const built = await withHeartbeat(
    `compiling the addon with ${toolchain.jobs} ${toolchain.jobs === 1 ? 'job' : 'jobs'}`,
    () => last || 'starting',
    () =>
      run(toolchain.cmake, ['--build', work, '--parallel', String(toolchain.jobs)], {
        env,
        onOutput: (text) => {
          last = /\[[^\]]+\](?=[^\n]*$)/.exec(text.trim())?.[0] ?? last;
        },
      }),
  );
  writeFileSync(log, configured.output + built.output);
  if (built.code !== 0) throw compileError(log, built.output);
}

/**
 * What made the compilation fail, told from what it printed; prints the compiler's first errors.
 *
 * @param {string} log file that holds the output
 * @param {string} output
 */
export function compileError(log, output) {
  if (/No space left on device/.test(output)) {
    return new InstallError(
      'The addon did not compile because the disk is full: free some space and install again.',
    );
  }
  if (/Killed signal|Killed$|out of memory|Cannot allocate memory/im.test(output)) {
    return new InstallError(
      'The addon did not compile because memory ran out: close other programs or set CMAKE_BUILD_PARALLEL_LEVEL=1, and install again.',
    );
  }
  const errors = output.split('\n').filter((line) => /\berror\b|undefined reference/i.test(line));
  for (const line of [...new Set(errors)].slice(0, SHOWN)) console.error(line);
  return new InstallError(
    `The addon did not compile: the first errors are above and the whole output is in "${log}".`,
  );
}
