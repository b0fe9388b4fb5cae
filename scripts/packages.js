/** Makes the packages to publish; `npm run prebuild` and the tests of the packages use it. */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ADDONS, hashSources } from '../packages/torch/install/addon.js';
import {
  PREBUILT_RECORD,
  hashFile,
  isAtLeast,
  platformPackage,
} from '../packages/torch/install/prebuilt.js';

/** @param {string} file */
export function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/**
 * @param {string} file
 * @param {unknown} value
 */
function writeJson(file, value) {
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
}

/**
 * Runs a program and returns what it prints.
 *
 * @param {string} program
 * @param {readonly string[]} args
 */
function output(program, args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${error ?? stderr}`);
  return stdout;
}

/**
 * Packs a folder with npm; returns the tarball.
 *
 * @param {string} folder
 * @param {string} target
 */
export function pack(folder, target) {
  const args = ['pack', folder, '--pack-destination', target, '--json', '--ignore-scripts'];
  const [{ filename }] = JSON.parse(output('npm', args));
  return join(target, filename);
}

/**
 * The oldest glibc that has all that libraries ask of it.
 *
 * @param {readonly string[]} files
 */
function oldestGlibc(files) {
  const symbols = output('objdump', ['-T', ...files]);
  const versions = [...symbols.matchAll(/GLIBC_(\d+\.\d+)/g)].map(([, found]) => found);
  return versions.reduce((newest, found) => (isAtLeast(found, newest) ? found : newest), '2.0');
}

/**
 * Puts libjpeg-turbo and its licence beside the addon: not every machine has it.
 *
 * @param {string} folder
 * @returns {string} the library's name
 */
function copyJpeg(folder) {
  const libraries = output('ldd', [join(folder, 'bantam_image.node')]);
  const [, library, path] = /(libjpeg\.so\.\d+) => (\S+)/.exec(libraries) ?? [];
  if (library === undefined || path === undefined) {
    throw new Error('bantam_image.node links no libjpeg: install libjpeg-turbo and its headers.');
  }
  const documents = '/usr/share/doc';
  const licence = readdirSync(documents)
    .filter((entry) => /^libjpeg.*turbo/.test(entry))
    .map((entry) => join(documents, entry, 'copyright'))
    .find((file) => existsSync(file));
  if (licence === undefined) throw new Error(`${documents} has no licence of libjpeg-turbo.`);
  copyFileSync(path, join(folder, library));
  copyFileSync(licence, join(folder, 'LICENSE.libjpeg-turbo'));
  return library;
}

/**
 * Packs a folder with npm and unpacks it again: what a user gets.
 *
 * @param {string} folder
 * @param {string} target
 */
export function packInto(folder, target) {
  mkdirSync(target, { recursive: true });
  const tarball = pack(folder, target);
  output('tar', ['-xzf', tarball, '-C', target, '--strip-components=1']);
  rmSync(tarball);
}

/**
 * Writes the package that holds a compiled addon.
 *
 * @param {object} options
 * @param {string} options.torch packed folder of @bantam/torch
 * @param {string} options.built folder of its compiled addon
 * @param {string} options.folder where the package goes
 */
export function writePlatformPackage({ torch, built, folder }) {
  const { name, version, license, engines } = readJson(join(torch, 'package.json'));
  const build = readJson(join(built, 'build.json'));
  mkdirSync(folder, { recursive: true });
  for (const file of ADDONS) copyFileSync(join(built, file), join(folder, file));
  copyFileSync(join(torch, 'LICENSE'), join(folder, 'LICENSE'));
  const files = build.jpeg ? [...ADDONS, copyJpeg(folder)] : ADDONS;
  const glibc = oldestGlibc(files.map((file) => join(folder, file)));
  writeJson(join(folder, PREBUILT_RECORD), {
    version: build.version,
    platform: build.platform,
    glibc,
    jpeg: build.jpeg,
    compiler: build.compiler,
    sources: hashSources(join(torch, 'native')),
    files: Object.fromEntries(files.map((file) => [file, hashFile(join(folder, file))])),
  });
  const [os, cpu] = build.platform.split('-');
  writeJson(join(folder, 'package.json'), {
    name: platformPackage(build.platform),
    version,
    description: `The compiled addon of ${name} for ${os} on ${cpu}, glibc ${glibc} or newer.`,
    license,
    engines,
    os: [os],
    cpu: [cpu],
    libc: ['glibc'],
    preferUnplugged: true,
  });
}

/**
 * Makes the platform packages whose tarballs lie in a folder optional dependencies of @bantam/torch.
 *
 * @param {string} torch folder of @bantam/torch as packed
 * @param {string} tarballs
 */
export function namePlatformPackages(torch, tarballs) {
  const manifest = join(torch, 'package.json');
  const { name, version, ...rest } = readJson(manifest);
  const tarball = new RegExp(
    `^${name.slice(1).replace('/', '-')}-([a-z]+-[a-z0-9]+)-${version}\\.tgz$`,
  );
  const platforms = readdirSync(tarballs).flatMap((file) => {
    const [, platform] = tarball.exec(file) ?? [];
    return platform === undefined ? [] : [platform];
  });
  const optionalDependencies = Object.fromEntries(
    platforms.map((platform) => [platformPackage(platform), version]),
  );
  writeJson(manifest, { name, version, ...rest, optionalDependencies });
}
