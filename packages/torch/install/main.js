import { fileURLToPath } from 'node:url';
import { buildAddon } from './compile.js';
import { cacheFolder, checkPlatform, wantsCuda } from './environment.js';
import { libtorchOfUser } from './libtorch.js';
import { say } from './progress.js';
import { findToolchain } from './toolchain.js';

/**
 * Gets libtorch and compiles the addon.
 *
 * @param {import('./environment.js').Env} env
 */
export async function main(env) {
  checkPlatform(env, {
    platform: process.platform,
    arch: process.arch,
    glibc: process.report.getReport().header.glibcVersionRuntime,
  });
  const cache = cacheFolder(env);
  const cuda = wantsCuda(env);
  // Before the download: a missing compiler should not show after ten minutes.
  const toolchain = await findToolchain(env);
  const libtorch = libtorchOfUser(env);
  say(`libtorch ${libtorch.build} in ${libtorch.path}`);
  await buildAddon({
    root: fileURLToPath(new URL('..', import.meta.url)),
    cache,
    libtorch,
    toolchain,
    cuda: cuda && libtorch.cuda,
    env,
  });
}
