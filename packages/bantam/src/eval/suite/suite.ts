import { dirname } from 'node:path';
import { BantamError, UsageError } from '../../base/errors.js';
import { didYouMean } from '../../base/did-you-mean.js';
import { readJson } from '../../base/json-file.js';
import { read } from '../../base/schema.js';
import { builtInSuites, type BuiltInSuite } from './built-in.js';
import { suiteSchema, type Suite } from './suite-schema.js';

/** A suite and the folder that its specifications start from. */
export interface OpenedSuite {
  readonly suite: Suite;
  readonly root: string;
}

export interface OpenSuiteOptions {
  /** Folder of the data; that of the file, or the current one for a suite by name, by default. */
  readonly root?: string;
}

/**
 * Opens a suite by its name ({@link builtInSuites}) or from a JSON file.
 *
 * @throws UsageError for an unknown name; BantamError for a file that is not a suite.
 */
export async function openSuite(
  nameOrFile: string,
  { root }: OpenSuiteOptions = {},
): Promise<OpenedSuite> {
  const known: Readonly<Record<string, BuiltInSuite>> = builtInSuites;
  const builtIn = Object.hasOwn(known, nameOrFile) ? known[nameOrFile] : undefined;
  if (builtIn !== undefined) return { suite: await builtIn(root ?? '.'), root: root ?? '.' };
  const value = await readJson(nameOrFile, 'suite');
  if (value === undefined) {
    const names = Object.keys(known);
    throw new UsageError(
      `There is no suite "${nameOrFile}"${didYouMean(nameOrFile, names)}; name a JSON file, or one of ${names.join(', ')}.`,
    );
  }
  const suite = read(suiteSchema, value, { where: nameOrFile });
  const twice = suite.datasets.find(
    ({ name }, i) => suite.datasets.findIndex((other) => other.name === name) !== i,
  );
  if (twice !== undefined) {
    throw new BantamError(
      `The suite ${nameOrFile} has the data set "${twice.name}" twice; give each its own name.`,
    );
  }
  checkReferences(suite, nameOrFile);
  return { suite, root: root ?? dirname(nameOrFile) };
}

function checkReferences({ datasets }: Suite, file: string): void {
  const names = datasets.map(({ name }) => name);
  for (const { name, shiftOf } of datasets) {
    if (shiftOf === undefined || (shiftOf !== name && names.includes(shiftOf))) continue;
    const what = shiftOf === name ? 'itself' : `"${shiftOf}"`;
    const others = names.filter((other) => other !== name);
    const guess = shiftOf === name ? '' : didYouMean(shiftOf, others);
    throw new BantamError(
      `The data set "${name}" of the suite ${file} is a shift of ${what}${guess}; name another data set of the suite.`,
    );
  }
}
