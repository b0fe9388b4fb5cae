/** Files of the repository that people read. */
import { readdirSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the checkout, with a separator at its end. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/** Folders that are generated or installed, at any level. */
const generated = new Set([
  '.git',
  'node_modules',
  'dist',
  'dist-test',
  'build',
  'fixtures',
  '__pycache__',
  'api',
]);

/** Folders that are generated, at the root only. */
const generatedAtRoot = new Set(['runs', 'quickstart', 'shared']);

/**
 * Paths of all files below a root that have one of the extensions, sorted, with forward slashes.
 *
 * @param {readonly string[]} extensions with their dot, such as `.ts`
 * @param {string} [folder] root of the tree
 * @returns {string[]} relative to the root
 */
export function sourceFiles(extensions, folder = root) {
  /** @type {string[]} */
  const found = [];
  /** @param {string} directory */
  const walk = (directory) => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      const skipped =
        generated.has(entry.name) || (directory === folder && generatedAtRoot.has(entry.name));
      if (entry.isDirectory()) {
        if (!skipped) walk(path);
      } else if (extensions.some((extension) => entry.name.endsWith(extension))) {
        found.push(relative(folder, path).split(sep).join('/'));
      }
    }
  };
  walk(folder);
  return found.sort();
}
