import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { LIBTORCH_VERSION } from './libtorch-version.js';

/** Describes a platform package's addon; `npm run prebuild` writes it. */
export const PREBUILT_RECORD = 'prebuilt.json';

/**
 * @typedef {object} PrebuiltRecord what `prebuilt.json` says of the addon beside it
 * @property {string} version libtorch's version, e.g. `2.13.0`
 * @property {string} platform e.g. `linux-x64`
 * @property {string} [glibc] the oldest glibc that has what the addon calls, e.g. `2.34`
 * @property {boolean} jpeg whether the addon decodes JPEG files with libjpeg-turbo
 * @property {string} compiler the compiler's version line
 * @property {string} sources hash of the C++ sources and the build file
 * @property {Record<string, string>} files SHA-256 of each file
 */

/**
 * @typedef {object} Prebuilt a compiled addon that fits this machine
 * @property {string} folder where its files are
 * @property {PrebuiltRecord} record
 */

/** The name of the package that holds the compiled addon for a platform. */
export function platformPackage(platform = `${process.platform}-${process.arch}`) {
  return `@bantam/torch-${platform}`;
}

/**
 * The compiled addon of this platform's package, which npm installs as an optional dependency.
 *
 * @param {object} options
 * @param {string} options.root folder of @bantam/torch
 * @param {string} options.sources hash of its C++ sources
 * @param {import('./environment.js').Env} options.env
 * @param {string | undefined} options.glibc version of the C library
 * @returns {{ prebuilt: Prebuilt } | { reason: string } | undefined} the addon, or why it does not
 *   fit; undefined where the package is not installed
 */
export function findPrebuilt({ root, sources, env, glibc }) {
  const name = platformPackage();
  const folder = folderOf(name, root);
  if (folder === undefined) return undefined;
  if (env.CXX || env.CXXFLAGS) return { reason: 'CXX or CXXFLAGS is set' };
  /** @type {PrebuiltRecord} */
  const record = JSON.parse(readFileSync(join(folder, PREBUILT_RECORD), 'utf8'));
  if (record.version !== LIBTORCH_VERSION || record.sources !== sources) {
    return { reason: `${name} was compiled from other sources` };
  }
  if (record.glibc !== undefined && !isAtLeast(glibc, record.glibc)) {
    return {
      reason: `${name} needs glibc ${record.glibc} and this is ${glibc ?? 'another C library'}`,
    };
  }
  const damaged = Object.entries(record.files).find(
    ([file, hash]) => hashFile(join(folder, file)) !== hash,
  );
  if (damaged) return { reason: `"${join(folder, damaged[0])}" is damaged` };
  return { prebuilt: { folder, record } };
}

/**
 * @param {string} name of a package
 * @param {string} root folder that needs it
 */
function folderOf(name, root) {
  try {
    return dirname(createRequire(join(root, 'package.json')).resolve(`${name}/package.json`));
  } catch {
    return undefined;
  }
}

/**
 * SHA-256 of a file; undefined where there is none.
 *
 * @param {string} file
 */
export function hashFile(file) {
  if (!existsSync(file)) return undefined;
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

/**
 * Compares versions such as `2.34`, number by number.
 *
 * @param {string | undefined} version
 * @param {string} least
 */
export function isAtLeast(version, least) {
  if (version === undefined) return false;
  return version.localeCompare(least, 'en', { numeric: true }) >= 0;
}
