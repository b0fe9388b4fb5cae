import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkCudaPart } from './cuda-part.js';
import { InstallError } from './install-error.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const libtorch = { path: '/cache/torch', build: '2.13.0+cpu', cuda: false };

/** @param {import('node:test').TestContext} t */
function captureProgress(t) {
  /** @type {string[]} */
  const lines = [];
  t.mock.method(process.stderr, 'write', (/** @type {string} */ text) => lines.push(text) > 0);
  return lines;
}

describe('checkCudaPart', () => {
  it('refuses a build without CUDA if CUDA was asked for', async () => {
    await assert.rejects(checkCudaPart({ libtorch, root, asked: true }), (error) => {
      assert.ok(error instanceof InstallError);
      assert.match(
        error.message,
        /2\.13\.0\+cpu is a build without it\): remove "\/cache\/torch" /,
      );
      return true;
    });
  });

  it('installs for the CPU with a note if a driver alone suggested CUDA', async (t) => {
    const lines = captureProgress(t);
    await checkCudaPart({ libtorch, root, asked: false });
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /build without it\), so Bantam computes on the CPU\n$/);
  });

  it('loads the CUDA part through the addon, or says which library is missing', async (t) => {
    const lines = captureProgress(t);
    await checkCudaPart({ libtorch: { ...libtorch, cuda: true }, root, asked: false });
    assert.match(lines[0] ?? '', /part for CUDA \d+\.\d+ loads|\(lib\w+\.so[^:]*: cannot open/);
  });
});
