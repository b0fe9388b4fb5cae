import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/**
 * A folder that lives as long as the test.
 *
 * @param {import('node:test').TestContext} t
 */
export function temporaryFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-install-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Writes files with their folders.
 *
 * @param {string} folder
 * @param {Record<string, string>} files text by path
 */
export function writeFiles(folder, files) {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

/**
 * Paths of all files under a folder, sorted.
 *
 * @param {string} folder
 */
export function listFiles(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** Name ending of shared libraries here. */
export const shared = process.platform === 'darwin' ? 'dylib' : 'so';

/**
 * The files by which a libtorch of some version is recognised.
 *
 * @param {string} version
 * @returns {Record<string, string>}
 */
export function libtorchFiles(version) {
  const parts = version.split('.');
  const lines = ['MAJOR', 'MINOR', 'PATCH'].map(
    (part, index) => `#define TORCH_VERSION_${part} ${parts[index]}\n`,
  );
  return {
    'include/torch/headeronly/version.h': lines.join(''),
    [`lib/libc10.${shared}`]: '',
    [`lib/libtorch_cpu.${shared}`]: '',
  };
}
