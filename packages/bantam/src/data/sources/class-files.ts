import { readFile } from 'node:fs/promises';
import { BantamError } from '../../base/errors.js';
import type { NoteBook } from './notes.js';

/**
 * Reads a file with a class's name in each line; the first line is class 0.
 *
 * @throws BantamError for a file that cannot be read, and for an empty line between names.
 */
export async function readClassNames(path: string, notes: NoteBook): Promise<string[]> {
  const names = await readLines(path, 'file of class names', 'classes=');
  const empty = names.indexOf('');
  if (empty >= 0) {
    throw new BantamError(
      `Line ${empty + 1} of the class names "${path}" is empty, and the classes are counted by lines; fill it in or remove it.`,
    );
  }
  const twice = new Set(names.filter((name, i) => names.indexOf(name) !== i));
  for (const name of twice) {
    notes.info(
      `The class names "${path}" hold "${name}" more than once: the prompts of these classes are equal, and zero-shot classification gives the first of them.`,
    );
  }
  return names;
}

/**
 * Reads a file with a prompt in each line, the class name as `{c}`, as clip_benchmark writes them, or
 * as `{}`.
 *
 * @throws BantamError for a file that cannot be read, without prompts, or with a prompt without a
 * place for the class name.
 */
export async function readTemplates(path: string): Promise<string[]> {
  const lines = (await readLines(path, 'file of prompts', 'templates=')).filter(Boolean);
  const templates = lines.map((line) => line.replaceAll('{c}', '{}'));
  const wrong = templates.find((template) => !template.includes('{}'));
  if (wrong !== undefined || templates.length === 0) {
    throw new BantamError(
      `The prompts "${path}" ${wrong === undefined ? 'are empty' : `hold "${wrong}" without {c}`}; write a prompt such as "a photo of a {c}." in each line.`,
    );
  }
  return templates;
}

async function readLines(path: string, what: string, option: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new BantamError(
      `The ${what} "${path}" cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'}); name an existing one after "${option}".`,
    );
  });
  return text
    .replace(/^\ufeff/, '')
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => line.trim());
}
