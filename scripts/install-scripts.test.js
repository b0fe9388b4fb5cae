import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

/** @param {string} file of the workspace */
const read = (file) => JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'));

describe("the install script of ONNX Runtime's package", () => {
  // The package holds its CPU libraries; the script would fetch CUDA's from elsewhere. A setting of
  // its own in .npmrc is unknown to npm 11, which warns of it at every command.
  it('is run by no npm: newer ones are told so, and older ones read of scripts in the lock file', () => {
    assert.equal(read('package.json').allowScripts['onnxruntime-node'], false);
    const entries = Object.entries(read('package-lock.json').packages).filter(([path]) =>
      path.endsWith('node_modules/onnxruntime-node'),
    );
    assert.equal(entries.length, 1);
    for (const [path, entry] of entries) {
      assert.equal(entry.hasInstallScript, undefined, `delete "hasInstallScript" of ${path}`);
    }
  });
});
