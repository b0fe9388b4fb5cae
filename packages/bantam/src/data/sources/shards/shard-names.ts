import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { at } from '../../../base/at.js';
import { BantamError } from '../../../base/errors.js';
import { isFolder } from '../../../base/path-kind.js';
import { causeOf } from '../../../base/system-error.js';

/** Most files that a pattern may stand for: more is a mistake in its numbers. */
const mostFiles = 1_000_000;

/**
 * The files that a pattern stands for, in its order: `{000..099}` counts with the width of its
 * numbers, `{train,extra}` lists, `*` in the last part takes what there is, sorted, and a folder
 * stands for the files in it with an extension, or in its folder `test` if it has none (the layout of
 * clip_benchmark). Hidden files are left out.
 *
 * @param kind Kind of the source, for messages.
 * @throws BantamError where a pattern with `*` or a folder has none.
 */
export async function expandFiles(
  pattern: string,
  { kind, extension }: { readonly kind: string; readonly extension: string },
): Promise<string[]> {
  const files: string[] = [];
  // A file or folder may have braces or stars in its own name.
  const isNamed = /[{*]/.test(pattern) && existsSync(pattern);
  for (const path of isNamed ? [pattern] : expandBraces(pattern)) {
    if (!isNamed && basename(path).includes('*')) {
      files.push(...(await matching(dirname(path), basename(path), kind)));
    } else if (await isFolder(path)) {
      files.push(...(await matching(await splitOf(path, extension), `*.${extension}`, kind)));
    } else {
      files.push(path);
    }
  }
  return files;
}

/** The texts that a pattern with braces stands for, the last braces changing fastest. */
export function expandBraces(pattern: string): string[] {
  const match = /\{([^{}]*)\}/.exec(pattern);
  if (match === null) return [pattern];
  const before = pattern.slice(0, match.index);
  const rests = expandBraces(pattern.slice(match.index + match[0].length));
  const choices = choicesOf(at(match, 1));
  if (choices.length * rests.length > mostFiles) {
    throw new BantamError(
      `"${pattern}" stands for more than ${mostFiles} files; check its braces.`,
    );
  }
  return choices.flatMap((choice) => rests.map((rest) => before + choice + rest));
}

function choicesOf(inner: string): string[] {
  const range = /^(\d+)\.\.(\d+)$/.exec(inner);
  if (range === null) return inner.split(',');
  const [, first = '', last = ''] = range;
  const count = Math.abs(Number(last) - Number(first)) + 1;
  const step = Number(last) < Number(first) ? -1 : 1;
  const width =
    first.startsWith('0') || last.startsWith('0') ? Math.max(first.length, last.length) : 0;
  return Array.from({ length: Math.min(count, mostFiles + 1) }, (_, i) =>
    String(Number(first) + i * step).padStart(width, '0'),
  );
}

/** The folder itself, or the test split of a data set in clip_benchmark's layout. */
async function splitOf(path: string, extension: string): Promise<string> {
  const test = join(path, 'test');
  const names = await readdir(path);
  const hasOwn = names.some((name) => name.toLowerCase().endsWith(`.${extension}`));
  return !hasOwn && (await isFolder(test)) ? test : path;
}

async function matching(folder: string, pattern: string, kind: string): Promise<string[]> {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const expression = new RegExp(`^${parts.join('.*')}$`, 'i');
  const names = await readdir(folder).catch((error: unknown) => {
    throw new BantamError(
      `The folder "${folder}" cannot be read (${causeOf(error)}); name an existing one after "${kind}:".`,
    );
  });
  const found = names.filter((name) => expression.test(name) && !name.startsWith('.')).sort();
  if (found.length === 0) {
    throw new BantamError(
      `The folder "${folder}" holds no file "${pattern}"; name files after "${kind}:".`,
    );
  }
  return found.map((name) => join(folder, name));
}
