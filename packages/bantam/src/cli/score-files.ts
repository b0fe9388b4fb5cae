import { InvalidArgumentError } from 'commander';
import type { ScoreTables } from '../data/index.js';
import { UsageError } from '../base/errors.js';

/** Description of `--scores` of commands that read score files. */
export const scoreFilesHelp =
  'score files; of several, name those whose scores are called alike: a=FILE b=FILE gives a.similarity and b.similarity';

/** Reads the score files that `--scores` names. */
export async function loadScoreFiles(files: readonly string[]): Promise<ScoreTables> {
  const { readScores } = await import('../data/index.js');
  const tables: Record<string, Awaited<ReturnType<typeof readScores>>> = {};
  for (const text of files) {
    const [, prefix = '', path = text] = /^([A-Za-z]\w*)=(.+)$/.exec(text) ?? [];
    if (prefix in tables) {
      throw new UsageError(
        prefix === ''
          ? `Two score files have no name; name them, as in --scores a=${files.join(' b=')}.`
          : `Two score files are called "${prefix}"; give them different names.`,
      );
    }
    tables[prefix] = await readScores(path);
  }
  return tables;
}

/** A value of an option `SCORE=NUMBER`. */
export interface NamedNumber {
  readonly name: string;
  readonly value: number;
}

/** Adds the `SCORE=FRACTION` of a repeatable option to those before it; `40%` is 0.4. */
export function namedFractions(
  text: string,
  before: readonly NamedNumber[] = [],
): readonly NamedNumber[] {
  const equals = text.lastIndexOf('=');
  const name = text.slice(0, Math.max(0, equals));
  return [...before, { name, value: fractionOf(name === '' ? '' : text.slice(equals + 1)) }];
}

/** Reads an option's value as a fraction; `40%` is 0.4. */
export function fractionOf(text: string): number {
  const percent = /^(.+)%$/.exec(text)?.[1];
  const value = percent === undefined ? Number(text) : Number(percent) / 100;
  if (text.trim() !== '' && value > 0 && value <= 1) return value;
  throw new InvalidArgumentError('It must have a fraction above 0, at most 1, such as 0.4 or 40%');
}
