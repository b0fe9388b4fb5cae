import { join } from 'node:path';
import { InstallError } from './install-error.js';
import { say } from './progress.js';
import { run } from './run.js';

/**
 * Says whether libtorch's CUDA part is there and loads, which needs no driver. Its absence is a failure
 * only where it was asked for: the CPU works without it.
 *
 * @param {object} options
 * @param {Pick<import('./libtorch.js').Libtorch, 'path' | 'build' | 'cuda'>} options.libtorch
 * @param {string} options.root folder of @bantam/torch, with the addon in place
 * @param {boolean} options.asked whether BANTAM_CUDA is 1
 */
export async function checkCudaPart({ libtorch, root, asked }) {
  const { path, build, cuda } = libtorch;
  const part = cuda ? await load(root) : { reason: `libtorch ${build} is a build without it` };
  if ('version' in part) {
    say(`libtorch's part for CUDA ${part.version} loads: "npx bantam doctor" tries the GPU`);
    return;
  }
  const failure = `libtorch's CUDA part cannot be used (${part.reason})`;
  if (asked) {
    throw new InstallError(
      `${failure}: remove "${path}" and install again from an index with a CUDA build, or leave BANTAM_CUDA out.`,
    );
  }
  say(`${failure}, so Bantam computes on the CPU`);
}

/**
 * Loads libtorch's CUDA part through the addon, in a process of its own.
 *
 * @param {string} root
 * @returns {Promise<{ version: string } | { reason: string }>} its CUDA version, or why it does not load
 */
async function load(root) {
  const script = 'console.log(require(process.argv[1]).loadCuda())';
  const addon = join(root, 'build', 'bantam_torch.node');
  const { code, output } = await run(process.execPath, ['-e', script, addon]);
  const line = output.trim().split('\n')[0] || 'the process crashed';
  if (code !== 0 || !/^\d+$/.test(line)) return { reason: line };
  const version = Number(line);
  return { version: `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}` };
}
