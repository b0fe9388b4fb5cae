import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon, hashSources, placePrebuilt } from './addon.js';
import { checkCudaPart } from './cuda-part.js';
import { openCache } from './disk.js';
import { cacheFolder, checkPlatform, wantsCuda } from './environment.js';
import { libtorchFromCache } from './fetch-libtorch.js';
import { handleInterrupts } from './interrupt.js';
import { libtorchOfUser } from './libtorch.js';
import { findPrebuilt } from './prebuilt.js';
import { say } from './progress.js';
import { findToolchain } from './toolchain.js';

/**
 * Gets libtorch and the addon, which comes from this platform's package where that fits and is
 * compiled elsewhere.
 *
 * @param {import('./environment.js').Env} env
 * @param {string} [root] folder of @bantam/torch; the one that this file is in by default
 * @returns {Promise<{ libtorch: { version: string, path: string }, addon: string }>} what is in
 *   place, and how the addon came
 */
export async function main(env, root = fileURLToPath(new URL('..', import.meta.url))) {
  handleInterrupts();
  const { glibcVersionRuntime: glibc } = process.report.getReport().header;
  checkPlatform(env, { platform: process.platform, arch: process.arch, glibc });
  const cache = cacheFolder(env);
  const cuda = wantsCuda(env);
  openCache(cache);
  const sources = hashSources(join(root, 'native'));
  const found = findPrebuilt({ root, sources, env, glibc });
  const getLibtorch = async () => {
    const libtorch = libtorchOfUser(env) ?? (await libtorchFromCache({ cache, cuda, env }));
    say(`2/3 libtorch ${libtorch.build} in ${libtorch.path}`);
    return libtorch;
  };
  /** @param {import('./libtorch.js').Libtorch} libtorch @param {string} addon */
  const done = async (libtorch, addon) => {
    say(`3/3 addon: ${addon}`);
    if (cuda) await checkCudaPart({ libtorch, root, asked: env.BANTAM_CUDA === '1' });
    return { libtorch: { version: libtorch.build, path: libtorch.path }, addon };
  };
  if (found && 'prebuilt' in found) {
    say('1/3 tools: none are needed, the addon comes compiled');
    const libtorch = await getLibtorch();
    return done(libtorch, await placePrebuilt({ root, libtorch, prebuilt: found.prebuilt }));
  }
  if (found) say(`the addon is compiled here: ${found.reason}`);
  // Before the download: a missing compiler should not show after ten minutes.
  const toolchain = await findToolchain(env);
  say(
    `1/3 tools: ${toolchain.compilerVersion}, ${toolchain.generator}, ${toolchain.jpeg ? 'libjpeg-turbo' : 'no libjpeg-turbo: sharp decodes JPEG files, more slowly'}`,
  );
  const libtorch = await getLibtorch();
  return done(libtorch, await buildAddon({ root, sources, cache, libtorch, toolchain, env }));
}
