import { BantamError } from '../errors.js';
import { openEmoji } from './emoji/emoji-source.js';
import { openFolder } from './folder-source.js';
import { didYouMean } from '../nearest.js';
import { parseSpec, type SourceSpec } from './spec.js';
import type { Source } from './source.js';
import { openTable } from './table-source.js';

export interface OpenSourceOptions {
  /** Bantam's cache folder, for built-in data sets; the user's by default. */
  readonly cacheDir?: string;
}

type Opener = (spec: SourceSpec, cacheDir?: string) => Promise<Source>;

const openers: ReadonlyMap<string, Opener> = new Map([
  ['emoji', openEmoji],
  ['csv', openTable],
  ['folder', openFolder],
]);

/**
 * Opens a data set by its specification: `emoji[?style=…&split=…&skin=…]`,
 * `csv:FILE[?image=COLUMN&caption=COLUMN&label=COLUMN&sep=CHARACTER]` or `folder:DIRECTORY`.
 * Throws a {@link BantamError} that names what exists where something does not.
 */
export async function openSource(
  text: string,
  { cacheDir }: OpenSourceOptions = {},
): Promise<Source> {
  const spec = parseSpec(text);
  const open = openers.get(spec.kind);
  const kinds = [...openers.keys()];
  if (open === undefined) {
    throw new BantamError(
      `There is no data "${spec.kind}"${didYouMean(spec.kind, kinds)}; use emoji, csv:FILE or folder:DIRECTORY.`,
    );
  }
  const source = await open(spec, cacheDir);
  if (source.size === 0) throw new BantamError(`The data set "${text}" is empty.`);
  return source;
}
