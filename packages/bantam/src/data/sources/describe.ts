import { isAbsolute, join } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { isObject } from '../../base/schema.js';
import { parseSpec } from './spec.js';

/** Options of every kind of source. */
interface CommonDescription {
  /** Files with synthetic captions, see {@link addSyntheticCaptions}. */
  readonly captions?: string | readonly string[];
  /** Probability of a synthetic caption where a record has some. */
  readonly synthetic?: number;
  /** File with the keys of the records to use, where the build has subsets. */
  readonly subset?: string;
}

/** Options of every table: names of columns or fields, and the folder of the images. */
interface TableDescription extends CommonDescription {
  readonly path: string;
  readonly image?: string;
  /** One or several; `none` for images without captions. */
  readonly caption?: string | readonly string[];
  readonly label?: string;
  readonly images?: string;
}

/** A source as an object, with the options of its kind; {@link formatSpec} writes it as text. */
export type SourceDescription =
  | (TableDescription & {
      readonly type: 'csv' | 'tsv';
      readonly sep?: string;
      readonly quote?: 'none';
      readonly encoding?: string;
    })
  | (TableDescription & {
      readonly type: 'jsonl';
      readonly classes?: string;
      readonly encoding?: string;
    })
  | (TableDescription & { readonly type: 'parquet'; readonly classes?: string })
  | (TableDescription & { readonly type: 'hf'; readonly split?: string; readonly classes?: string })
  | (CommonDescription & {
      readonly type: 'coco';
      readonly path: string;
      readonly images?: string;
      readonly split?: string | readonly string[];
    })
  | (CommonDescription & {
      readonly type: 'images';
      readonly path: string;
      readonly caption?: 'beside' | 'name' | 'none';
      readonly label?: 'folder';
    })
  | (CommonDescription & { readonly type: 'folder'; readonly path: string })
  | (CommonDescription & {
      readonly type: 'wds';
      readonly path: string;
      readonly text?: string;
      readonly caption?: string;
      readonly label?: string;
      readonly classes?: string;
    })
  | (CommonDescription & {
      readonly type: 'emoji';
      readonly style?: string;
      readonly split?: string;
      readonly skin?: string;
    })
  | MixDescription;

/** Several sources as one. */
export interface MixDescription {
  readonly type: 'mix';
  readonly sources: readonly MixPart[];
}

/** A source of a mix. */
export interface MixPart {
  readonly data: string | SourceDescription;
  /** Fraction of an epoch's samples, up to a common factor; the number of its samples by default. */
  readonly weight?: number;
  /** Start of its records' keys, and its name in notes; its position by default. */
  readonly name?: string;
}

/** Options that name files or folders. */
const pathOptions = ['captions', 'images', 'classes', 'subset'];

/**
 * The specification of a source that is described as an object, to be opened again from a
 * configuration.
 *
 * @throws BantamError for an option that cannot be written.
 */
export function formatSpec(description: SourceDescription): string {
  if (description.type === 'mix') {
    const sources = description.sources.map(({ data, ...rest }) => ({
      data: typeof data === 'string' ? data : formatSpec(data),
      ...rest,
    }));
    return `mix:${JSON.stringify({ sources })}`;
  }
  const { type, ...options } = description;
  const path = 'path' in options ? `:${options.path}` : '';
  const pairs = Object.entries(options).flatMap(([name, value]): [string, unknown][] => {
    if (name === 'path' || value === undefined) return [];
    if (!Array.isArray(value)) return [[name, value]];
    return name === 'captions' ? value.map((file) => [name, file]) : [[name, value.join(',')]];
  });
  return `${type}${path}${queryOf(pairs)}`;
}

function queryOf(pairs: readonly (readonly [string, unknown])[]): string {
  const texts = pairs.map(([name, value]) => {
    if (typeof value === 'string' || typeof value === 'number') {
      return `${name}=${String(value).replaceAll(/[%&?]/g, encodeURIComponent)}`;
    }
    throw new BantamError(`The option "${name}" of a data source is neither text nor a number.`);
  });
  return texts.length === 0 ? '' : `?${texts.join('&')}`;
}

/** A specification whose relative paths start from a folder. */
export function resolveSpec(text: string, folder: string): string {
  if (text.startsWith('mix:{')) {
    const parsed: unknown = JSON.parse(text.slice(4));
    const sources = isObject(parsed) && Array.isArray(parsed.sources) ? parsed.sources : [];
    const resolved = (sources as MixPart[]).map((part) => {
      const data = typeof part.data === 'string' ? part.data : formatSpec(part.data);
      return { ...part, data: resolveSpec(data, folder) };
    });
    return formatSpec({ type: 'mix', sources: resolved });
  }
  const from = (path: string): string => (isAbsolute(path) ? path : join(folder, path));
  // The path that exists, if it holds question marks, is the one from the folder.
  const colon = text.indexOf(':');
  const moved = colon < 0 ? text : `${text.slice(0, colon + 1)}${from(text.slice(colon + 1))}`;
  const { kind, path, query, synthetic } = parseSpec(moved);
  const pairs = [
    ...[...query].map(([name, value]) => [name, pathOptions.includes(name) ? from(value) : value]),
    ...synthetic.files.map((file) => ['captions', from(file)]),
    ...(synthetic.fraction === undefined ? [] : [['synthetic', synthetic.fraction]]),
  ] as [string, string][];
  return `${kind}${path === '' ? '' : `:${path}`}${queryOf(pairs)}`;
}
