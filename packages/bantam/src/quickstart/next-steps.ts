import { join, relative } from 'node:path';
import type { NextStep } from '../report/index.js';
import { quickstartPaths } from './files.js';

/** Folder of the quickstart, unless another is named. */
export const defaultOut = 'quickstart';

/** Commands to try after the quickstart; they can be copied unchanged. */
export function nextSteps(out: string): NextStep[] {
  const { index, model } = quickstartPaths(out);
  const option = relative(defaultOut, out) === '' ? '' : ` --index ${quote(index)}`;
  return [
    { what: 'Search images by text', command: `npx bantam search "happy cat"${option}` },
    {
      what: 'Evaluate the model on an out-of-distribution style',
      command: `npx bantam eval --model ${quote(model)} --data "emoji?style=fluent-3d&skin=default"`,
    },
    {
      what: 'Inspect its training data',
      command: `npx bantam data inspect "emoji?split=train" --sheet ${quote(join(out, 'emoji.png'))}`,
    },
  ];
}

/** A path as a word of the shell. */
function quote(path: string): string {
  return /^[\w./@:+-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
