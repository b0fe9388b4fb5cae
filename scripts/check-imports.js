/**
 * Finds circles of imports, types included: `node scripts/check-imports.js [ROOT]`.
 *
 * Circles of types alone do no harm at run time, but neither file can then be read without the other.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { root, sourceFiles } from './source-files.js';

/**
 * Relative imports of each TypeScript and JavaScript file.
 *
 * @param {string} folder root of the tree
 * @returns {Map<string, string[]>} by path
 */
function importGraph(folder) {
  const files = sourceFiles(['.ts', '.js'], folder);
  const known = new Set(files);
  const resolve = (/** @type {string} */ from, /** @type {string} */ name) => {
    const path = posix.join(posix.dirname(from), name);
    return [path.replace(/\.js$/, '.ts'), path].find((candidate) => known.has(candidate));
  };
  return new Map(
    files.map((file) => {
      const { importedFiles } = ts.preProcessFile(readFileSync(join(folder, file), 'utf8'));
      const names = importedFiles.map(({ fileName }) => fileName);
      const relative = names.filter((name) => name.startsWith('.'));
      return [file, relative.flatMap((name) => resolve(file, name) ?? [])];
    }),
  );
}

/**
 * Groups of files that import each other: the strongly connected components of more than one file
 * (Tarjan 1972), each sorted.
 *
 * @param {ReadonlyMap<string, readonly string[]>} graph
 * @returns {string[][]}
 */
function connectedFiles(graph) {
  /** @type {Map<string, { index: number, low: number, open: boolean }>} */
  const visited = new Map();
  /** @type {string[]} */
  const stack = [];
  /** @type {string[][]} */
  const groups = [];
  const visit = (/** @type {string} */ file) => {
    const node = { index: visited.size, low: visited.size, open: true };
    visited.set(file, node);
    stack.push(file);
    for (const next of graph.get(file) ?? []) {
      const seen = visited.get(next) ?? visit(next);
      if (seen.open) node.low = Math.min(node.low, seen.low);
    }
    if (node.low === node.index) {
      const group = stack.splice(stack.indexOf(file));
      for (const member of group) {
        const closed = visited.get(member);
        if (closed) closed.open = false;
      }
      if (group.length > 1 || (graph.get(file) ?? []).includes(file)) groups.push(group.sort());
    }
    return node;
  };
  for (const file of graph.keys()) if (!visited.has(file)) visit(file);
  return groups;
}

/**
 * Circles of imports below a folder.
 *
 * @param {string} [folder] root of the tree
 * @returns {string[][]} files of each circle
 */
export function importCircles(folder = root) {
  return connectedFiles(importGraph(folder));
}

if (import.meta.url === pathToFileURL(String(process.argv[1])).href) {
  const folder = process.argv[2] ?? root;
  if (!existsSync(folder)) throw new Error(`There is no folder ${folder}.`);
  const circles = importCircles(folder);
  for (const files of circles) {
    console.error(`${files.length} files import each other:\n  ${files.join('\n  ')}`);
  }
  process.exitCode = circles.length > 0 ? 1 : 0;
}
