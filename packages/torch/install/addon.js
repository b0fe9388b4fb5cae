import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { compile } from './compile.js';
import { InstallError } from './install-error.js';
import { platformPackage } from './prebuilt.js';
import { duration } from './progress.js';
import { run } from './run.js';
import { nodeApi } from './toolchain.js';

/** Compiled addons to keep in the cache, so that branches can be switched without compiling. */
const KEPT = 6;

/** The addons are what {@link buildAddon} makes … */
export const ADDONS = ['bantam_torch.node', 'bantam_image.node'];
/** … and their record says of what they were made. */
const RECORD = 'build.json';
/** They find libtorch through this link beside them. */
const LIBTORCH_LINK = 'libtorch';

/**
 * @typedef {object} BuildRecord what `build/build.json` says of the addons beside it
 * @property {string} libtorch folder with include/ and lib/
 * @property {string} version libtorch's version, e.g. `2.13.0`
 * @property {string} build libtorch's version with its build tag, e.g. `2.13.0+cu130`
 * @property {boolean} jpeg whether the addon decodes JPEG files with libjpeg-turbo
 * @property {string} compiler the compiler's version line
 * @property {string} flags additional compiler flags (`CXXFLAGS`)
 * @property {string} nodeApi versions of the header packages
 * @property {string} platform e.g. `linux-x64`
 * @property {string} sources hash of the C++ sources and the build file
 */

/**
 * Every file under a folder, sorted, so that the hash does not depend on the file system's order.
 *
 * @param {string} folder
 * @returns {string[]}
 */
function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesUnder(path) : [path];
    })
    .sort();
}

/**
 * SHA-256 over the names and contents of a folder's files.
 *
 * @param {string} folder
 */
export function hashSources(folder) {
  const hash = createHash('sha256');
  for (const file of filesUnder(folder)) {
    hash
      .update(`${relative(folder, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  }
  return hash.digest('hex');
}

/**
 * The cache's name for an addon: two builds with equal records are interchangeable.
 *
 * @param {BuildRecord} record
 */
export function hashRecord(record) {
  const ordered = Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(ordered)).digest('hex').slice(0, 32);
}

/**
 * Puts the addons and `build/build.json` in place: those that are there, from the user's
 * cache, or compiled.
 *
 * @param {object} options
 * @param {string} options.root folder of this package
 * @param {string} options.sources hash of its C++ sources
 * @param {string} options.cache the user's cache folder
 * @param {import('./libtorch.js').Libtorch} options.libtorch
 * @param {import('./toolchain.js').Toolchain} options.toolchain
 * @param {import('./environment.js').Env} options.env
 * @returns {Promise<string>} how it came
 */
export async function buildAddon({ root, sources, cache, libtorch, toolchain, env }) {
  const native = join(root, 'native');
  const build = join(root, 'build');
  const headers = nodeApi();
  /** @type {BuildRecord} */
  const record = {
    libtorch: libtorch.path,
    version: libtorch.version,
    build: libtorch.build,
    jpeg: toolchain.jpeg,
    compiler: toolchain.compilerVersion,
    flags: env.CXXFLAGS ?? '',
    nodeApi: headers.versions,
    platform: `${process.platform}-${process.arch}`,
    sources,
  };
  if (await isUpToDate(build, record)) return 'up to date';
  const cached = join(cache, 'addon', hashRecord(record));
  if (holdsAddons(cached)) {
    await place({ from: cached, files: ADDONS, build, record });
    return 'taken from the cache';
  }
  const start = Date.now();
  mkdirSync(build, { recursive: true });
  rmSync(join(build, RECORD), { force: true });
  await compile({ native, build, libtorch, toolchain, headers, env });
  await checkLoads(build);
  writeRecord(build, record);
  store(build, cached);
  return `compiled in ${duration(Date.now() - start)}`;
}

/**
 * Puts the addons of a platform package and `build/build.json` in place.
 *
 * @param {object} options
 * @param {string} options.root folder of this package
 * @param {import('./libtorch.js').Libtorch} options.libtorch
 * @param {import('./prebuilt.js').Prebuilt} options.prebuilt
 * @returns {Promise<string>} how it came
 */
export async function placePrebuilt({ root, libtorch, prebuilt }) {
  const build = join(root, 'build');
  const record = { ...prebuilt.record, libtorch: libtorch.path, build: libtorch.build };
  if (await isUpToDate(build, record)) return 'up to date';
  const files = Object.keys(prebuilt.record.files);
  await place({ from: prebuilt.folder, files, build, record });
  return `taken from ${platformPackage()}`;
}

/**
 * @param {string} build
 * @param {object} record
 */
async function isUpToDate(build, record) {
  if (!holdsAddons(build) || readIfThere(join(build, RECORD)) !== recordText(record)) return false;
  return (await loadFailure(build)) === undefined;
}

/**
 * Copies addons that were compiled before, links them to libtorch and loads them once.
 *
 * @param {object} options
 * @param {string} options.from folder that holds them
 * @param {readonly string[]} options.files
 * @param {string} options.build where they go
 * @param {{ libtorch: string }} options.record what to say of them
 */
async function place({ from, files, build, record }) {
  mkdirSync(build, { recursive: true });
  // The record comes last: addons without it count as absent.
  rmSync(join(build, RECORD), { force: true });
  for (const name of files) replace(join(from, name), join(build, name));
  const link = join(build, LIBTORCH_LINK);
  rmSync(link, { force: true });
  symlinkSync(record.libtorch, link);
  await checkLoads(build);
  writeRecord(build, record);
}

/** @param {object} record */
function recordText(record) {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/**
 * @param {string} build
 * @param {object} record
 */
function writeRecord(build, record) {
  writeFileSync(join(build, RECORD), recordText(record));
}

/** @param {string} folder */
function holdsAddons(folder) {
  return ADDONS.every((name) => existsSync(join(folder, name)));
}

/** @param {string} file */
function readIfThere(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

/**
 * Puts a copy in place of a file. A new file, never the old one overwritten: a running process may
 * have that one mapped.
 *
 * @param {string} from
 * @param {string} to
 */
function replace(from, to) {
  cpSync(from, `${to}.new`);
  renameSync(`${to}.new`, to);
}

/**
 * Adds addons to the cache in one rename and lets the oldest ones go.
 *
 * @param {string} build
 * @param {string} cached
 */
function store(build, cached) {
  const staging = `${cached}.${process.pid}`;
  mkdirSync(staging, { recursive: true });
  for (const name of [...ADDONS, RECORD]) cpSync(join(build, name), join(staging, name));
  try {
    renameSync(staging, cached);
  } catch {
    rmSync(staging, { recursive: true, force: true }); // Another install was faster.
  }
  const folder = join(cached, '..');
  const age = (/** @type {string} */ name) => statSync(join(folder, name)).mtimeMs;
  const oldest = readdirSync(folder)
    .sort((a, b) => age(b) - age(a))
    .slice(KEPT);
  for (const name of oldest) rmSync(join(folder, name), { recursive: true, force: true });
}

/**
 * Refuses addons that do not load.
 *
 * @param {string} build
 */
async function checkLoads(build) {
  const failure = await loadFailure(build);
  if (failure === undefined) return;
  throw new InstallError(
    `The compiled addon "${failure.addon}" does not load (${failure.reason}): check that libtorch is complete, or remove the cache folder and install again.`,
  );
}

/**
 * Loads each addon in a process of its own, as a missing library shows only then.
 *
 * @param {string} build
 * @returns {Promise<{ addon: string, reason: string } | undefined>} undefined where all do
 */
async function loadFailure(build) {
  const script =
    'try { require(process.argv[1]); } catch (e) { console.log(e.message); process.exit(1); }';
  for (const name of ADDONS) {
    const addon = join(build, name);
    const { code, output } = await run(process.execPath, ['-e', script, addon]);
    if (code !== 0) return { addon, reason: output.trim().split('\n')[0] || 'the process crashed' };
  }
  return undefined;
}
