import { BantamError } from '../../base/errors.js';
import { addSyntheticCaptions } from './synthetic-captions.js';
import { openEmoji } from './emoji/emoji-source.js';
import { openFolder } from './folder-source.js';
import { openImages } from './images-source.js';
import { didYouMean } from '../../base/did-you-mean.js';
import { parseSpec, type SourceSpec } from './spec.js';
import { openShards } from './shard-source.js';
import type { OpenProgress, Source } from './source.js';
import { limitToSubsets } from './subset-source.js';
import { openTable } from './table-source.js';

export interface OpenSourceOptions {
  /** Bantam's cache folder, for built-in data sets; the user's by default. */
  readonly cacheDir?: string;
  /** Receives progress while opening takes long: shards that are read for the first time. */
  readonly onOpen?: OpenProgress;
}

type Opener = (spec: SourceSpec, options: OpenSourceOptions) => Promise<Source>;

const openers: ReadonlyMap<string, Opener> = new Map([
  ['emoji', (spec, { cacheDir }) => openEmoji(spec, cacheDir)],
  ['csv', openTable],
  ['tsv', openTable],
  ['folder', openFolder],
  ['images', openImages],
  ['wds', openShards],
]);

/**
 * Opens a data set by its specification: `emoji[?style=…&split=…&skin=…]`,
 * `csv:FILE[?image=COLUMN&caption=COLUMN&label=COLUMN&sep=CHARACTER]`, `folder:DIRECTORY` or
 * `wds:SHARDS[?text=EXTENSION&caption=FIELD&label=FIELD&classes=FILE]`; each also takes
 * `captions=FILE.jsonl&synthetic=FRACTION`, see {@link addSyntheticCaptions}, and `subset=FILE`, see {@link limitToSubsets}.
 * Throws a {@link BantamError} that names what exists where something does not.
 */
export async function openSource(text: string, options: OpenSourceOptions = {}): Promise<Source> {
  const spec = parseSpec(text);
  const open = openers.get(spec.kind);
  const kinds = [...openers.keys()];
  if (open === undefined) {
    throw new BantamError(
      `There is no data "${spec.kind}"${didYouMean(spec.kind, kinds)}; use emoji, csv:FILE, tsv:FILE, folder:DIRECTORY, images:DIRECTORY or wds:SHARDS.`,
    );
  }
  const source = await open(spec, options);
  if (source.size === 0) throw new BantamError(`The data set "${text}" is empty.`);
  return addSyntheticCaptions(await limitToSubsets(source, spec), spec);
}
