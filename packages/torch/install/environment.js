import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { InstallError } from './install-error.js';
import { LIBTORCH_VERSION } from './libtorch-version.js';

/** Platforms for which the package index has wheels of the pinned version. */
const PLATFORMS = ['linux-x64', 'linux-arm64', 'darwin-arm64'];

/** @typedef {Record<string, string | undefined>} Env environment variables */

/**
 * The folder that all checkouts of a user share: `BANTAM_CACHE`, else `$XDG_CACHE_HOME/bantam`,
 * else `~/.cache/bantam`.
 *
 * @param {Env} env
 */
export function cacheFolder(env) {
  if (env.BANTAM_CACHE) return resolve(env.BANTAM_CACHE);
  if (env.XDG_CACHE_HOME) return resolve(env.XDG_CACHE_HOME, 'bantam');
  return join(homedir(), '.cache', 'bantam');
}

/** Files of an NVIDIA driver: of Linux, of a container that has no /proc of its own, of WSL 2. */
const DRIVER_FILES = [
  '/proc/driver/nvidia/version',
  '/dev/nvidiactl',
  '/usr/lib/wsl/lib/libcuda.so.1',
];

/**
 * True on a machine with an NVIDIA driver.
 *
 * @param {(path: string) => boolean} exists
 */
export function hasNvidiaDriver(exists = existsSync) {
  return DRIVER_FILES.some((file) => exists(file));
}

/**
 * Whether to keep libtorch's CUDA backend: `BANTAM_CUDA` is 1, or it is auto or absent and this
 * machine has an NVIDIA driver.
 *
 * @param {Env} env
 * @param {boolean} driver
 */
export function wantsCuda(env, driver = hasNvidiaDriver()) {
  const choice = env.BANTAM_CUDA || 'auto';
  if (!['auto', '0', '1'].includes(choice)) {
    throw new InstallError(`BANTAM_CUDA is "${choice}": set it to auto, 1 or 0, or leave it out.`);
  }
  return choice === 'auto' ? driver : choice === '1';
}

/**
 * Refuses platforms without a libtorch wheel, unless the user brings their own libtorch.
 *
 * @param {Env} env
 * @param {{ platform: string, arch: string, glibc: string | undefined }} machine `glibc` is
 *   undefined on Linux systems with another C library
 */
export function checkPlatform(env, { platform, arch, glibc }) {
  const name = `${platform}-${arch}`;
  if (platform === 'win32') {
    throw new InstallError('Bantam does not run on Windows itself: install it in WSL 2.');
  }
  if (env.BANTAM_LIBTORCH) return;
  if (!PLATFORMS.includes(name)) {
    throw new InstallError(
      `There is no libtorch ${LIBTORCH_VERSION} wheel for ${name} (only for ${PLATFORMS.join(', ')}): build libtorch yourself and set BANTAM_LIBTORCH to its folder.`,
    );
  }
  if (platform === 'linux' && glibc === undefined) {
    throw new InstallError(
      `libtorch's wheels need glibc and this Linux has another C library (musl): use a glibc distribution such as Debian, or set BANTAM_LIBTORCH to a libtorch built for it.`,
    );
  }
}
