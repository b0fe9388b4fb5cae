import { existsSync, statSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as v from 'valibot';
import { BantamError, UsageError } from '../../base/errors.js';
import { readJson } from '../../base/json-file.js';
import { isObject, readSettings } from '../../base/schema.js';
import { causeOf } from '../../base/system-error.js';
import { studySchema, type StudyOptions } from './schema.js';

/**
 * Reads the file of a study: JSON, or a module of JavaScript or TypeScript that exports it as its
 * default. Node.js reads TypeScript from version 22.18 on.
 *
 * @throws UsageError for a wrong setting; BantamError if the file cannot be read.
 */
export async function readStudy(file: string): Promise<StudyOptions> {
  if (!existsSync(file)) {
    throw new UsageError(
      `There is no study ${file}; name a file that describes one, see docs/studies.md.`,
    );
  }
  if (!['.json', ...modules].includes(extname(file)) || statSync(file).isDirectory()) {
    throw new UsageError(
      `${file} does not describe a study; name a .json, .js or .ts file that does, see docs/studies.md.`,
    );
  }
  return checkStudy(
    extname(file) === '.json' ? await readJson(file, 'study') : await importDefault(file),
  );
}

/** Endings of modules that Node.js reads. */
const modules = ['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts'];

async function importDefault(file: string): Promise<unknown> {
  try {
    const loaded: unknown = await import(pathToFileURL(resolve(file)).href);
    if (isObject(loaded) && 'default' in loaded) return loaded.default;
  } catch (error) {
    const isUnknown = (error as NodeJS.ErrnoException).code === 'ERR_UNKNOWN_FILE_EXTENSION';
    throw new BantamError(
      isUnknown
        ? `Node.js ${process.version} reads no ${extname(file)} files; describe the study in a .js or .json file, or use Node.js 22.18 or newer.`
        : `The study ${file} cannot be read (${causeOf(error)}).`,
    );
  }
  throw new BantamError(`The study ${file} has no default export; write "export default { … }".`);
}

/**
 * Checks the options of a study. Those of its runs keep their absent settings, so that variants
 * change only what they name.
 *
 * @throws UsageError that names the first wrong setting, and the nearest known one.
 */
export function checkStudy(study: unknown): StudyOptions {
  readSettings(studySchema, study, { error: UsageError });
  if (!v.is(studySchema, study)) throw new UsageError('The study cannot be read.');
  checkTogether(study);
  return study;
}

/** @throws UsageError for settings that are wrong only together. */
function checkTogether({ seeds, measure, tune, data }: StudyOptions): void {
  if (seeds?.length === 0) throw new UsageError('A study needs a seed; add one to "seeds".');
  if (seeds !== undefined && new Set(seeds).size < seeds.length) {
    throw new UsageError(`The seeds ${seeds.join(', ')} are not all different; name each once.`);
  }
  if (measure.length === 0) {
    throw new UsageError('A study needs something to measure; add data and metrics to "measure".');
  }
  const names = measure.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) {
    throw new UsageError(
      `Two data sets of "measure" are named "${twice}"; give each its own name.`,
    );
  }
  if (tune !== undefined && measure.some((one) => one.data === tune.data)) {
    throw new UsageError(
      `The learning rate must not be tuned on "${tune.data}", which the study measures; name other data in "tune.data".`,
    );
  }
  if (tune?.data === data) {
    throw new UsageError(
      'The learning rate must not be tuned on the training data; name others in "tune.data".',
    );
  }
}
