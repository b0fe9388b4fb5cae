import { readFile } from 'node:fs/promises';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { isObject } from '../../base/schema.js';
import { textsOf } from './captions.js';
import type { NoteBook } from './notes.js';
import { decodeFile } from './tables/text-bytes.js';

/**
 * Reads a file of class names: one in each line, or a JSON list; the first one is class 0.
 *
 * @param how - The way in which the user named it, for errors
 * @throws BantamError for a file that cannot be read, and for an empty line between names.
 */
export async function readClassNames(
  path: string,
  notes: NoteBook,
  how = 'after "classes="',
): Promise<string[]> {
  const names = parseList(path, await readFileText(path, 'file of class names', how));
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

/** Prompts for all classes, with `{}` for the class name, or the prompts of each class. */
export type Prompts = readonly string[] | ReadonlyMap<string, readonly string[]>;

/**
 * Reads a file of prompts: one in each line or a JSON list, the class name as `{}`, or as `{c}` as
 * clip_benchmark writes it; or a JSON object with the prompts of each class, as CuPL has them:
 * `{"tench": ["A tench is a freshwater fish.", …], …}`.
 *
 * @throws BantamError for a file that cannot be read, without prompts, or with a prompt for all
 * classes without a place for the class name.
 */
export async function readPrompts(path: string): Promise<Prompts> {
  const text = await readFileText(path, 'file of prompts', 'with --templates');
  if (text.trimStart().startsWith('{') && path.toLowerCase().endsWith('.json')) {
    return promptsByClass(path, text);
  }
  const lines = parseList(path, text).filter(Boolean);
  const templates = lines.map((line) => line.replaceAll('{c}', '{}'));
  const wrong = templates.find((template) => !template.includes('{}'));
  if (wrong !== undefined || templates.length === 0) {
    throw new BantamError(
      `The prompts "${path}" ${wrong === undefined ? 'are empty' : `hold "${wrong}" without {c}`}; write a prompt such as "a photo of a {c}." in each line.`,
    );
  }
  return templates;
}

/** {@link readPrompts} of a file with prompts for all classes. */
export async function readTemplates(path: string): Promise<readonly string[]> {
  const prompts = await readPrompts(path);
  if (prompts instanceof Map) {
    throw new BantamError(`The prompts "${path}" are of single classes; use eval --templates.`);
  }
  return prompts as readonly string[];
}

function promptsByClass(path: string, text: string): Map<string, readonly string[]> {
  const value = parseJson(path, text);
  const entries = isObject(value) ? Object.entries(value) : [];
  return new Map(
    entries.map(([name, prompts]) => {
      const texts = textsOf(prompts);
      if (texts.length > 0) return [name, texts];
      throw new BantamError(
        `The class "${name}" of the prompts "${path}" has no prompts; add some.`,
      );
    }),
  );
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BantamError(`"${path}" is not JSON (${causeOf(error)}).`);
  }
}

/** The members of a JSON list of texts, else the lines. */
function parseList(path: string, text: string): string[] {
  if (path.toLowerCase().endsWith('.json')) {
    const value = parseJson(path, text);
    if (Array.isArray(value) && value.every((member) => typeof member === 'string')) {
      return value.map((member) => member.trim());
    }
    throw new BantamError(`"${path}" is not a JSON list of texts.`);
  }
  return text
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => line.trim());
}

async function readFileText(path: string, what: string, how: string): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new BantamError(
      `The ${what} "${path}" cannot be read (${causeOf(error)}); name an existing one ${how}.`,
    );
  });
  const text = decodeFile(bytes);
  if (text !== undefined) return text;
  throw new BantamError(`The ${what} "${path}" is no text; save it as UTF-8.`);
}
