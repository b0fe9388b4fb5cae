import { readFile } from 'node:fs/promises';
import { BantamError } from './errors.js';
import { causeOf } from './system-error.js';

/**
 * A JSON file's value; undefined where there is no such file.
 *
 * @param what - the thing that it is a file of, for the error: `model`, `tokenizer`
 * @throws BantamError when it cannot be read, or is not JSON.
 */
export async function readJson(file: string, what: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new BantamError(
      `${file} cannot be read (${causeOf(error)}); name another file, or save the ${what} anew.`,
    );
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new BantamError(`${file} is not JSON; fetch or save the ${what} anew.`);
  }
}
