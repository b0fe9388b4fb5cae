import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { at } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { didYouMean } from '../../base/did-you-mean.js';
import { fileDigest } from '../../base/hash.js';
import { readTriple, type Preprocess } from '../preprocess.js';

/** Published weights that OpenCLIP lists. */
export interface PretrainedEntry {
  /** OpenCLIP's name of the architecture. */
  readonly model: string;
  /** OpenCLIP's name of the weights. */
  readonly tag: string;
  /** `owner/name` on the Hub. */
  readonly repository: string;
  /** The weights' file there; null: the repository's usual one. */
  readonly file: string | null;
  readonly preprocess: Pick<Preprocess, 'mean' | 'std' | 'interpolation' | 'resizeMode'>;
  /** True if the weights were trained with QuickGELU. */
  readonly quickGelu: boolean;
  /** The file that was published first, elsewhere, and the start of its SHA-256. */
  readonly original: { readonly file: string; readonly sha256: string } | null;
}

/** OpenCLIP's list, as `fixtures/generate_pretrained_table.py` writes it. */
const TABLE = new URL('../../../assets/pretrained.tsv', import.meta.url);

let table: readonly PretrainedEntry[] | undefined;

/** Published weights by OpenCLIP's names (open_clip_torch 3.3.0). */
export function pretrainedModels(): readonly PretrainedEntry[] {
  table ??= readFileSync(TABLE, 'utf8').replace(/\n$/, '').split('\n').slice(1).map(parseRow);
  return table;
}

function parseRow(line: string): PretrainedEntry {
  const cells = line.split('\t');
  const cell = (index: number): string => at(cells, index);
  const numbers = (index: number) =>
    readTriple(cell(index).split(',').map(Number), 'mean or std', 'pretrained.tsv');
  return {
    model: cell(0),
    tag: cell(1),
    repository: cell(2),
    file: cell(3) === '' ? null : cell(3),
    preprocess: {
      mean: numbers(4),
      std: numbers(5),
      interpolation: cell(6) === 'bilinear' ? 'bilinear' : 'bicubic',
      resizeMode: cell(7) === 'squash' ? 'squash' : 'shortest',
    },
    quickGelu: cell(8) === 'quickgelu',
    original: cell(10) === '' ? null : { file: cell(9), sha256: cell(10) },
  };
}

/**
 * The entry of a name `MODEL/TAG`; null if there is no such model.
 *
 * @throws BantamError naming the nearest tag if the model has no such one.
 */
export function findPretrained(name: string): PretrainedEntry | null {
  const [model = '', tag, more] = name.split('/');
  const entries = pretrainedModels().filter((entry) => entry.model === model);
  if (tag === undefined || more !== undefined || entries.length === 0) return null;
  // As in OpenCLIP, neither case nor hyphens count.
  const wanted = tag.toLowerCase().replaceAll('-', '_');
  const found = entries.find((entry) => entry.tag === wanted);
  if (found !== undefined) return found;
  const tags = entries.map((entry) => entry.tag);
  throw new BantamError(
    `${model} has no published weights "${tag}"${didYouMean(tag, tags)}; "bantam models list --pretrained ${model}/" lists the ${tags.length} that it has.`,
  );
}

/** The entry of a file that was published elsewhere than on the Hub, by its name and hash. */
export async function recognisePublished(path: string): Promise<PretrainedEntry | null> {
  const name = basename(path);
  const entries = pretrainedModels().filter(({ original }) => original?.file === name);
  if (entries.length === 0) return null;
  const sha256 = await fileDigest(path);
  return entries.find(({ original }) => sha256.startsWith(original?.sha256 ?? ' ')) ?? null;
}
