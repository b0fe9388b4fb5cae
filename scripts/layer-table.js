/**
 * The table of layers in docs/architecture.md, made from scripts/layers.js.
 *
 *     node scripts/layer-table.js --write   writes the table
 *     node scripts/layer-table.js           checks that it is up to date
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { layers } from './layers.js';
import { root } from './source-files.js';

const page = join(root, 'docs', 'architecture.md');
const start = '<!-- layers: made by npm run docs:layers -->';
const end = '<!-- end of layers -->';

/** Rows of the folders that exist: a planned layer is listed once it has files. */
function layerTable() {
  const rows = layers
    .filter(({ folder }) => existsSync(join(root, 'packages', 'bantam', 'src', folder)))
    .map(({ folder, holds }) => [`\`${folder}\``, holds]);
  const all = [['layer', 'holds'], ...rows];
  const widths = [0, 1].map((column) => Math.max(...all.map((row) => row[column].length)));
  const line = (/** @type {readonly string[]} */ cells) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  const rule = widths.map((width) => '-'.repeat(width));
  return [line(all[0]), line(rule), ...rows.map(line)].join('\n');
}

const text = readFileSync(page, 'utf8');
const [before, rest] = text.split(start);
const after = rest?.split(end)[1];
if (after === undefined) {
  console.error(`docs/architecture.md has no place for the table: ${start} … ${end}`);
  process.exitCode = 1;
} else {
  const wanted = `${before}${start}\n\n${layerTable()}\n\n${end}${after}`;
  if (process.argv.includes('--write')) writeFileSync(page, wanted);
  else if (wanted !== text) {
    console.error(
      'The table of layers in docs/architecture.md differs from scripts/layers.js; run "npm run docs:layers".',
    );
    process.exitCode = 1;
  }
}
