import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkSpace, folderSize } from './disk.js';
import { InstallError } from './install-error.js';
import { withCleanup } from './interrupt.js';
import { inspectLibtorch } from './libtorch.js';
import { LIBTORCH_VERSION } from './libtorch-version.js';
import { takeLock } from './lock.js';
import { pipInstall } from './pip.js';
import { duration, say, size } from './progress.js';
import { findPython } from './python.js';
import { pruneWheel, readWheel, runtimeRequirements } from './wheel.js';

/** Free bytes that the installation needs at its peak: wheels and unpacked files side by side. */
const SPACE = { cpu: 3e9, cuda: 8e9 };

/** Written last into an installed libtorch: without it the folder counts as absent. */
const COMPLETE = 'bantam.json';

/**
 * The libtorch in the user's cache, installed there first where it is missing.
 *
 * @param {object} options
 * @param {string} options.cache the user's cache folder
 * @param {boolean} options.cuda whether to keep the CUDA backend
 * @param {import('./environment.js').Env} options.env
 * @param {number} [options.space] free bytes that have to be there
 * @returns {Promise<import('./libtorch.js').Libtorch>}
 */
export async function libtorchFromCache({ cache, cuda, env, space }) {
  const root = join(cache, 'libtorch');
  const kind = cuda ? 'cuda' : 'cpu';
  const folder = join(root, `${LIBTORCH_VERSION}-${process.platform}-${process.arch}-${kind}`);
  const cached = readCached(folder);
  if (cached) return cached;
  mkdirSync(root, { recursive: true });
  const release = await takeLock(join(root, 'lock'), () => {
    say('another install is fetching libtorch: waiting for it');
  });
  return withCleanup(release, async () => {
    const fetched = readCached(folder);
    if (fetched) return fetched;
    removeLeftovers(root);
    const python = await findPython(env);
    const without = cuda ? ', or BANTAM_CUDA=0 to install for the CPU alone' : '';
    await checkSpace(root, space ?? SPACE[kind], without);
    const staging = join(root, `staging-${process.pid}`);
    await withCleanup(
      () => rmSync(staging, { recursive: true, force: true }),
      () => fetchInto({ folder, staging, python, cuda, env }),
    );
    const result = readCached(folder);
    if (!result)
      throw new InstallError(
        `"${folder}" holds no libtorch ${LIBTORCH_VERSION} after pip installed it: remove that folder and install again.`,
      );
    return result;
  });
}

/** @param {string} folder */
function readCached(folder) {
  if (!existsSync(join(folder, COMPLETE))) return undefined;
  const found = inspectLibtorch(join(folder, 'torch'));
  return found?.version === LIBTORCH_VERSION ? found : undefined;
}

/**
 * What installs that were killed left behind; only the lock's holder makes such folders.
 *
 * @param {string} root
 */
function removeLeftovers(root) {
  for (const name of readdirSync(root)) {
    if (name.startsWith('staging-')) rmSync(join(root, name), { recursive: true, force: true });
  }
}

/**
 * Installs the wheels beside the final place, removes what is not needed, and renames.
 *
 * @param {object} options
 * @param {string} options.folder the final place
 * @param {string} options.staging
 * @param {import('./python.js').Python} options.python
 * @param {boolean} options.cuda
 * @param {import('./environment.js').Env} options.env
 */
async function fetchInto({ folder, staging, python, cuda, env }) {
  const start = Date.now();
  const target = join(staging, 'target');
  const pip = { python, target, staging, env };
  say(`fetching libtorch ${LIBTORCH_VERSION} with pip into ${folder} (once per user)`);
  const torch = [`torch==${LIBTORCH_VERSION}`];
  await pipInstall({ ...pip, requirements: torch, dependencies: false });
  const { metadata, forCuda } = readWheel(target);
  const runtime = forCuda ? runtimeRequirements(metadata, cuda) : [];
  if (runtime.length > 0) {
    say(
      `this wheel is a CUDA build: fetching the libraries it loads ${cuda ? 'for GPUs' : 'on the CPU'} (${runtime.join(', ')})`,
    );
    await pipInstall({ ...pip, requirements: runtime, dependencies: true });
  }
  const before = await folderSize(target);
  pruneWheel(target, cuda);
  const after = await folderSize(target);
  const record = { version: LIBTORCH_VERSION, cuda, bytes: after, requirements: runtime };
  writeFileSync(join(target, COMPLETE), `${JSON.stringify(record, null, 2)}\n`);
  rmSync(folder, { recursive: true, force: true });
  renameSync(target, folder);
  say(
    `libtorch takes ${size(after)}, ${size(before - after)} of Python${cuda ? '' : ' and GPU'} files removed; fetched in ${duration(Date.now() - start)}`,
  );
}
