import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { openImages } from './folders/images-source.js';
import { joinSources } from './mix-source.js';
import { openParquetFiles } from './parquet/parquet-source.js';
import type { OpenProgress, Source } from './source.js';
import { checkQuery, type SourceSpec } from './spec.js';
import { openJsonl } from './tables/jsonl-source.js';
import { openTable } from './tables/table-source.js';

/** Names of splits in file and folder names, and the split that they mean, as on the Hub. */
const splitNames: readonly (readonly [split: string, names: string])[] = [
  ['train', 'train|training'],
  ['validation', 'validation|valid|val|dev'],
  ['test', 'test|testing|eval|evaluation'],
];

interface DatasetFile {
  readonly path: string;
  readonly split: string | undefined;
}

/** Options that are passed on to the tables. */
const tableOptions = ['image', 'caption', 'label', 'images'];

/**
 * Opens a folder with a data set in the layout of Hugging Face's Hub: `hf:DIR[?split=train]`. It is, in
 * this order: `metadata.csv`, `.jsonl` or `.parquet` beside the images (the column `file_name` is the
 * image), Parquet files (`data/train-00000-of-00003.parquet`) with image columns, or folders of
 * images. The split is found in the names of files and folders; it must be chosen if there are
 * several. The columns are those of {@link openJsonl}; class names come from the files.
 *
 * `hf:` in `--data` always names a folder on this computer.
 *
 * @throws BantamError for a folder that is in none of these layouts.
 */
export async function openHuggingFace(
  spec: SourceSpec,
  options: { cacheDir?: string; onOpen?: OpenProgress } = {},
): Promise<Source> {
  checkQuery(spec, [...tableOptions, 'split', 'classes']);
  const { path, query, text } = spec;
  if (!existsSync(path)) {
    throw new BantamError(
      `There is no folder "${path}"; "hf:" in data names a folder on this computer: get it with "hf download ${path} --repo-type dataset --local-dir DIR", and name DIR.`,
    );
  }
  const split = query.get('split');
  const found = await listFiles(path);
  const metadata = found.filter(({ path: file }) =>
    /(^|\/)metadata\.(csv|jsonl|parquet)$/.test(file),
  );
  const parquet = found.filter(({ path: file }) => /\.parquet$/i.test(file));
  const inner: SourceSpec = { ...spec, query: without(query, ['split']) };
  if (metadata.length > 0) {
    const files = chooseSplit(spec, metadata, split);
    const sources: Source[] = [];
    for (const file of files) sources.push(await openMetadata(inner, file, options));
    const names = files.map((file) => relative(path, dirname(file)).replaceAll('\\', '/') || '.');
    return joinSources(text, sources, names);
  }
  if (parquet.length > 0) {
    return openParquetFiles(inner, chooseSplit(spec, parquet, split), options);
  }
  if (found.some(({ path: file }) => file.endsWith('.arrow'))) {
    throw new BantamError(
      `The folder "${path}" was written by save_to_disk, in Arrow's format; write the data set with to_parquet, and name its folder.`,
    );
  }
  return openFolders(inner, split);
}

async function openMetadata(
  spec: SourceSpec,
  path: string,
  options: { cacheDir?: string; onOpen?: OpenProgress },
): Promise<Source> {
  const query = new Map(spec.query);
  const inner = { ...spec, path, query };
  if (path.endsWith('.parquet')) return openParquetFiles(inner, [path], options);
  if (path.endsWith('.jsonl')) return openJsonl(inner, options);
  return openTable({ ...inner, query: without(query, ['classes']) }, options);
}

/** Images without metadata, in the folders of splits or not: a folder for each class, or any nesting. */
async function openFolders(spec: SourceSpec, given: string | undefined): Promise<Source> {
  const entries = await readdir(spec.path, { withFileTypes: true });
  const splits = entries
    .filter((entry) => entry.isDirectory() && splitOf(entry.name) !== undefined)
    .map(({ name }) => ({ path: join(spec.path, name), split: splitOf(name) }));
  const [folder = spec.path] =
    splits.length > 0 || given !== undefined ? chooseSplit(spec, splits, given) : [];
  const inner = { ...spec, path: folder };
  const query = new Map([['label', 'folder']]);
  // The innermost folder is the class, as in Hugging Face's own reader; images alone have none.
  return openImages({ ...inner, query }).catch((error: unknown) => {
    if (!(error instanceof BantamError)) throw error;
    return openImages({ ...inner, query: new Map() });
  });
}

function without(
  query: ReadonlyMap<string, string>,
  names: readonly string[],
): Map<string, string> {
  return new Map([...query].filter(([name]) => !names.includes(name)));
}

/** The files that a data set may be made of, with their splits. */
async function listFiles(root: string): Promise<DatasetFile[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(
    (error: unknown) => {
      throw new BantamError(
        `The folder "${root}" cannot be read (${causeOf(error)}); name an existing one after "hf:".`,
      );
    },
  );
  return entries
    .filter((entry) => !entry.isDirectory() && /\.(csv|jsonl|parquet|arrow)$/i.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (path) =>
        !relative(root, path)
          .split(/[\\/]/)
          .some((part) => part.startsWith('.')),
    )
    .sort()
    .map((path) => ({ path, split: splitOf(relative(root, path)) }));
}

/** The split that a path names, in its last part that names one. */
function splitOf(path: string): string | undefined {
  for (const part of path.split(/[\\/]/).reverse()) {
    for (const [split, names] of splitNames) {
      if (new RegExp(`(^|[-_. ])(${names})([-_. 0-9]|$)`, 'i').test(part)) return split;
    }
  }
  return undefined;
}

function chooseSplit(
  { text, path }: SourceSpec,
  files: readonly DatasetFile[],
  given: string | undefined,
): string[] {
  const splits = [...new Set(files.map(({ split }) => split ?? 'all'))];
  const wanted =
    splitNames.find(([, names]) => new RegExp(`^(${names})$`, 'i').test(given ?? ''))?.[0] ?? given;
  const example = splits.find((split) => split === 'train') ?? splits.at(0);
  if (wanted === undefined && example !== undefined && splits.length > 1) {
    throw new BantamError(
      `"${text}" has the splits ${splits.join(', ')}; choose one with ?split=${example}.`,
    );
  }
  const chosen = files.filter(({ split }) => wanted === undefined || (split ?? 'all') === wanted);
  if (chosen.length === 0) {
    throw new BantamError(`"${path}" has no split "${given ?? ''}"; it has ${splits.join(', ')}.`);
  }
  return chosen.map(({ path: file }) => file);
}
