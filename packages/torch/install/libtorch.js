import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { InstallError } from './install-error.js';
import { LIBTORCH_VERSION } from './libtorch-version.js';

/**
 * @typedef {object} Libtorch
 * @property {string} path folder with include/ and lib/
 * @property {string} version as the headers give it, e.g. `2.13.0`
 * @property {string} build version with its build tag, e.g. `2.13.0+cu130`
 * @property {boolean} cuda whether the CUDA backend's library is there
 */

/** The name of a shared library on this platform. @param {string} name */
function library(name) {
  return `lib${name}.${process.platform === 'darwin' ? 'dylib' : 'so'}`;
}

/**
 * Reads what kind of libtorch a folder is; undefined where it holds none that can be compiled
 * against.
 *
 * @param {string} path a libtorch folder or a Python `torch` package folder
 * @returns {Libtorch | undefined}
 */
export function inspectLibtorch(path) {
  const header = join(path, 'include', 'torch', 'headeronly', 'version.h');
  const libraries = [library('c10'), library('torch_cpu')].map((name) => join(path, 'lib', name));
  if (![header, ...libraries].every((file) => existsSync(file))) return undefined;
  const text = readFileSync(header, 'utf8');
  const version = ['MAJOR', 'MINOR', 'PATCH']
    .map((part) => new RegExp(`define TORCH_VERSION_${part} (\\d+)`).exec(text)?.[1])
    .join('.');
  return {
    path,
    version,
    build: buildVersion(path) ?? version,
    cuda: existsSync(join(path, 'lib', library('torch_cuda'))),
  };
}

/**
 * The version with its build tag: `build-version` in a libtorch folder, `version.py` in a wheel.
 *
 * @param {string} path
 */
function buildVersion(path) {
  const plain = join(path, 'build-version');
  if (existsSync(plain)) return readFileSync(plain, 'utf8').trim();
  const python = join(path, 'version.py');
  if (!existsSync(python)) return undefined;
  return /^__version__ = '([^']+)'/m.exec(readFileSync(python, 'utf8'))?.[1];
}

/**
 * The libtorch that the user names with `BANTAM_LIBTORCH`; undefined where the variable is unset.
 *
 * @param {import('./environment.js').Env} env
 * @returns {Libtorch | undefined}
 */
export function libtorchOfUser(env) {
  if (!env.BANTAM_LIBTORCH) return undefined;
  const path = resolve(env.BANTAM_LIBTORCH);
  const found = inspectLibtorch(path);
  if (!found) {
    throw new InstallError(
      `BANTAM_LIBTORCH is "${path}", which holds no libtorch (include/torch/headeronly/version.h and lib/${library('torch_cpu')}): set it to a libtorch folder or a Python torch package folder, or unset it.`,
    );
  }
  if (found.version !== LIBTORCH_VERSION) {
    throw new InstallError(
      `BANTAM_LIBTORCH is "${path}", which is libtorch ${found.version}, but Bantam needs ${LIBTORCH_VERSION}: install that version there, or unset BANTAM_LIBTORCH.`,
    );
  }
  return found;
}
