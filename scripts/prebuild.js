/**
 * `npm run prebuild`: packages to publish, as tarballs in build/packages/.
 *
 * - `@bantam/torch-PLATFORM` holds the addon, compiled here from the sources that are packed;
 * - `@bantam/torch` names every platform package in the folder as an optional dependency,
 *   so that npm takes the one that fits; those of other platforms are put there by hand first;
 * - `bantam`.
 *
 *     npm run prebuild -- --out FOLDER
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { main } from '../packages/torch/install/main.js';
import { namePlatformPackages, pack, packInto, writePlatformPackage } from './packages.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({ options: { out: { type: 'string' } } });
const target = resolve(values.out ?? join(root, 'build', 'packages'));
if (process.platform !== 'linux') {
  throw new Error(
    'Platform packages are made on Linux: elsewhere the libraries go by other tools.',
  );
}
const { CXXFLAGS, ...env } = process.env;
if (CXXFLAGS) console.error('CXXFLAGS is ignored: a platform package serves every CPU.');
mkdirSync(target, { recursive: true });
const scratch = mkdtempSync(join(tmpdir(), 'bantam-prebuild-'));
try {
  const torch = join(scratch, 'torch');
  const platform = join(scratch, 'platform');
  packInto(join(root, 'packages', 'torch'), torch);
  await main({ ...env, BANTAM_CUDA: '0' }, torch);
  writePlatformPackage({ torch, built: join(torch, 'build'), folder: platform });
  const tarballs = [pack(platform, target)];
  namePlatformPackages(torch, target);
  tarballs.push(pack(torch, target), pack(join(root, 'packages', 'bantam'), target));
  for (const file of tarballs) console.log(`${basename(file)} in ${target}`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
