import { readFile } from 'node:fs/promises';
import { BantamError } from './errors.js';

/**
 * A JSON file's value; undefined where there is no such file.
 *
 * @param what - the thing that it is a file of, for the error: `model`, `tokenizer`
 * @throws BantamError when it is not JSON.
 */
export async function readJson(file: string, what: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new BantamError(`${file} is not JSON; fetch or save the ${what} anew.`);
  }
}
