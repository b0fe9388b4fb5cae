import { fileURLToPath } from 'node:url';
import { buildAddon } from './addon.js';
import { openCache } from './disk.js';
import { cacheFolder, checkPlatform, wantsCuda } from './environment.js';
import { libtorchFromCache } from './fetch-libtorch.js';
import { handleInterrupts } from './interrupt.js';
import { libtorchOfUser } from './libtorch.js';
import { say } from './progress.js';
import { findToolchain } from './toolchain.js';

/**
 * Gets libtorch and compiles the addon.
 *
 * @param {import('./environment.js').Env} env
 */
export async function main(env) {
  handleInterrupts();
  checkPlatform(env, {
    platform: process.platform,
    arch: process.arch,
    glibc: process.report.getReport().header.glibcVersionRuntime,
  });
  const cache = cacheFolder(env);
  const cuda = wantsCuda(env);
  openCache(cache);
  // Before the download: a missing compiler should not show after ten minutes.
  const toolchain = await findToolchain(env);
  say(
    `1/3 tools: ${toolchain.compilerVersion}, ${toolchain.generator}, ${toolchain.jpeg ? 'libjpeg-turbo' : 'no libjpeg-turbo: sharp decodes JPEG files, more slowly'}`,
  );
  const libtorch = libtorchOfUser(env) ?? (await libtorchFromCache({ cache, cuda, env }));
  say(`2/3 libtorch ${libtorch.build} in ${libtorch.path}`);
  const how = await buildAddon({
    root: fileURLToPath(new URL('..', import.meta.url)),
    cache,
    libtorch,
    toolchain,
    cuda: cuda && libtorch.cuda,
    env,
  });
  say(`3/3 addon: ${how}`);
}
