import { existsSync, readdirSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { didYouMean } from '../../base/did-you-mean.js';
import { BantamError } from '../../base/errors.js';
import { openCoco } from './coco-source.js';
import { formatSpec, type SourceDescription } from './describe.js';
import { openEmoji } from './emoji/emoji-source.js';
import { openFolder } from './folders/folder-source.js';
import { openImages } from './folders/images-source.js';
import { openHuggingFace } from './hugging-face-folder.js';
import { openMix } from './mix-source.js';
import { openParquet } from './parquet/parquet-source.js';
import { openShards } from './shards/shard-source.js';
import type { OpenProgress, Source } from './source.js';
import { parseSpec, type SourceSpec } from './spec.js';
import { limitToSubsets } from './subset-source.js';
import { addSyntheticCaptions } from './synthetic-captions.js';
import { openJsonl } from './tables/jsonl-source.js';
import { openTable } from './tables/table-source.js';

export interface OpenSourceOptions {
  /** Bantam's cache folder, for built-in data sets and indexes; the user's by default. */
  readonly cacheDir?: string;
  /** Receives progress while opening takes long: shards that are read for the first time. */
  readonly onOpen?: OpenProgress;
}

type Opener = (spec: SourceSpec, options: OpenSourceOptions) => Promise<Source>;

const openers: ReadonlyMap<string, Opener> = new Map<string, Opener>([
  ['emoji', (spec, { cacheDir }) => openEmoji(spec, cacheDir)],
  ['csv', openTable],
  ['tsv', openTable],
  ['jsonl', openJsonl],
  ['parquet', openParquet],
  ['coco', openCoco],
  ['hf', openHuggingFace],
  ['folder', openFolder],
  ['images', openImages],
  ['wds', openShards],
  ['mix', (spec, options) => openMix(spec, (part) => openSource(part, options))],
]);

/**
 * Opens a data set by its specification, `KIND:PATH?OPTION=VALUE&…`, or by its description as an
 * object. The kinds: `csv:` and `tsv:` ({@link openTable}), `jsonl:` ({@link openJsonl}), `parquet:`
 * ({@link openParquet}), `coco:` ({@link openCoco}), `hf:` ({@link openHuggingFace}), `folder:`
 * ({@link openFolder}), `images:` ({@link openImages}), `wds:` ({@link openShards}), `mix:`
 * ({@link openMix}) and `emoji`; each also takes `captions=FILE.jsonl&synthetic=FRACTION`, see
 * {@link addSyntheticCaptions}, and `subset=FILE`, see {@link limitToSubsets}.
 *
 * @throws BantamError that names what exists where something does not.
 */
export async function openSource(
  data: string | SourceDescription,
  options: OpenSourceOptions = {},
): Promise<Source> {
  const text = typeof data === 'string' ? data : formatSpec(data);
  const spec = parseSpec(text);
  const open = openers.get(spec.kind);
  if (open === undefined) throw new BantamError(unknownKind(spec));
  const source = await open(spec, options);
  if (source.size === 0) throw new BantamError(`The data set "${text}" is empty.`);
  return addSyntheticCaptions(await limitToSubsets(source, spec), spec);
}

const kindsOfFiles: Readonly<Record<string, string>> = {
  ...{ '.csv': 'csv', '.tsv': 'tsv', '.tab': 'tsv', '.jsonl': 'jsonl', '.ndjson': 'jsonl' },
  ...{ '.json': 'coco', '.parquet': 'parquet', '.tar': 'wds' },
};

function unknownKind({ kind, path: rest, text }: SourceSpec): string {
  const path = text.split('?', 1).join('');
  const found = existsSync(text) ? text : path;
  // A colon after one letter is a drive's.
  const likely = rest === '' || kind.length === 1 ? likelySpec(found) : undefined;
  if (likely !== undefined) {
    return `"${text}" does not say what kind of data it is; write ${likely}.`;
  }
  const kinds = [...openers.keys()];
  const list = kinds.filter((name) => name !== 'emoji').map((name) => `${name}:`);
  return `There is no data "${kind}"${didYouMean(kind, kinds)}; use emoji or a path after ${list.join(', ')}.`;
}

/** The specification that a path probably stands for. */
function likelySpec(path: string): string | undefined {
  const ofFile = (file: string): string | undefined => {
    const kind = kindsOfFiles[extname(file).toLowerCase()];
    return kind === undefined ? undefined : `${kind}:${file}`;
  };
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return ofFile(path);
  const names = readdirSync(path).filter((name) => !name.startsWith('.'));
  const [table] = names.flatMap((name) => ofFile(join(path, name)) ?? []);
  return table === undefined
    ? `images:${path}, or folder:${path} if it has a folder for each class`
    : `${table}, or images:${path} for its images alone`;
}
