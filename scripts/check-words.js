/**
 * Finds words of scripts/words.js in sources, help texts, docs and file names, as a part of
 * `npm run lint`. With paths as arguments it looks at these only, clean or not.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, sourceFiles } from './source-files.js';
import { allowedUses, commentOpenings, forbiddenWords, leftOut } from './words.js';

const extensions = ['.ts', '.js', '.mjs', '.cc', '.h', '.py', '.md', '.svg', '.html', '.css'];

/** White space, and the marks that lead the next line of a comment. */
const gap = String.raw`(?:\s+(?:(?:\*|\/\/|#)\s+)?)`;

const rules = forbiddenWords.map(({ pattern, use }) => {
  return { expression: new RegExp(pattern.replaceAll(' ', gap), 'gi'), use };
});

const openings = new RegExp(
  String.raw`(?:\/\*\*?|^\s*\/\/|^\s*#)\s+(?:${commentOpenings.join('|').replaceAll(' ', gap)})\b`,
  'gm',
);

/** Takes names apart, keeping the number of lines: `imageSize_of` → `image Size of`. */
function readable(/** @type {string} */ text) {
  return text.replace(/(?<=[a-z0-9])(?=[A-Z])/g, ' ').replaceAll('_', ' ');
}

/**
 * Forbidden words of a text.
 *
 * @param {string} text
 * @param {string} [path] the file's name, which is read as well
 * @returns {{ line: number, found: string, use: string }[]} line 0 is the path
 */
export function forbiddenUses(text, path = '') {
  const whole = readable(`${path}\n${text}`);
  /** @type {{ line: number, found: string, use: string }[]} */
  const uses = [];
  const collect = (/** @type {RegExp} */ expression, /** @type {string} */ use) => {
    for (const { 0: match, index } of whole.matchAll(expression)) {
      const before = whole.slice(0, index);
      const around = whole.slice(Math.max(0, index - 40), index + match.length + 40);
      if (allowedUses.some((allowed) => around.includes(allowed.text))) continue;
      const leading = match.length - match.trimStart().length;
      const line = (before + match.slice(0, leading)).split('\n').length - 1;
      uses.push({ line, found: match.trim().replace(/\s+/g, ' '), use });
    }
  };
  for (const { expression, use } of rules) collect(expression, use);
  // In Markdown, "#" begins a heading.
  if (!path.endsWith('.md')) collect(openings, 'a noun phrase, or a sentence that says why');
  return uses.sort((a, b) => a.line - b.line);
}

/**
 * @param {readonly string[]} paths files to look at
 * @returns {string[]} a line for each use
 */
function report(paths) {
  return paths.flatMap((path) =>
    forbiddenUses(readFileSync(join(root, path), 'utf8'), path).map(
      ({ line, found, use }) => `${path}:${line}: "${found}": ${use}`,
    ),
  );
}

if (import.meta.url === pathToFileURL(String(process.argv[1])).href) {
  const wanted = process.argv.slice(2);
  const within = (/** @type {readonly string[]} */ starts, /** @type {string} */ path) =>
    starts.some((start) => path.startsWith(start));
  const paths = sourceFiles(extensions).filter((path) => {
    if (leftOut.includes(path)) return false;
    return wanted.length === 0 || within(wanted, path);
  });
  const lines = report(paths);
  if (lines.length > 0) {
    console.error(lines.join('\n'));
    console.error(`${lines.length} words are not the field's; scripts/words.js lists them.`);
    process.exitCode = 1;
  }
}
