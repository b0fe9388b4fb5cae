import { join, relative } from 'node:path';
import type { NextStep } from '../report/index.js';
import { quickstartPaths } from './files.js';

/** Folder of the quickstart, unless another is named. */
export const defaultOut = 'quickstart';

/** Commands to try after the quickstart; they work as they stand. */
export function nextSteps(out: string): NextStep[] {
  const { index, model } = quickstartPaths(out);
  const where = relative(defaultOut, out) === '' ? '' : ` --index ${quote(index)}`;
  return [
    { what: 'Find pictures by text', command: `npx bantam search "happy cat"${where}` },
    {
      what: 'Measure the model on a style that it never saw',
      command: `npx bantam eval --model ${quote(model)} --data "emoji?style=fluent-3d&skin=default"`,
    },
    {
      what: 'Look at the pictures that it was trained on',
      command: `npx bantam data inspect "emoji?split=train" --sheet ${quote(join(out, 'emoji.png'))}`,
    },
  ];
}

/** A path as a word of the shell. */
function quote(path: string): string {
  return /^[\w./@:+-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
