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
  /** Files with the keys of the records to use, see {@link limitToSubsets}. */
  readonly subset?: string | readonly string[];
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
      /** Names of the values of `.npy` members, see {@link parseArrayFields}. */
      readonly npy?: string;
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
  readonly subset?: string | readonly string[];
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
const pathOptions = ['images', 'classes'];

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
    const { subset } = description;
    return `mix:${JSON.stringify({ sources, ...(subset !== undefined && { subset }) })}`;
  }
  const { type, ...options } = description;
  const path = 'path' in options ? `:${options.path}` : '';
  // Optional members may be undefined.
  const pairs = Object.entries<unknown>(options).flatMap(([name, value]): [string, unknown][] => {
    if (name === 'path' || value === undefined) return [];
    if (!Array.isArray(value)) return [[name, value]];
    const list: readonly unknown[] = value;
    const isRepeated = name === 'captions' || name === 'subset';
    return isRepeated ? list.map((file) => [name, file]) : [[name, list.join(',')]];
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
  const from = (path: string): string => {
    // A list of files in braces may begin with absolute ones: {/a/1.tar,/b/1.tar}.
    const [braces = '', list = ''] = /^\{([^{}]*)\}/.exec(path) ?? [];
    const choices = list.split(',');
    if (choices.some(isAbsolute)) {
      return `{${choices.map(from).join(',')}}${path.slice(braces.length)}`;
    }
    return isAbsolute(path) ? path : join(folder, path);
  };
  if (text.startsWith('mix:{')) {
    const parsed: unknown = JSON.parse(text.slice(4));
    const sources = isObject(parsed) ? parsed.sources : parsed;
    const parts = Array.isArray(sources) ? (sources as (string | MixPart)[]) : [];
    const resolved = parts.map((given) => {
      const part = typeof given === 'string' ? { data: given } : given;
      const data = typeof part.data === 'string' ? part.data : formatSpec(part.data);
      return { ...part, data: resolveSpec(data, folder) };
    });
    const subset = parseSpec(text).subsets.map(from);
    return formatSpec({ type: 'mix', sources: resolved, ...(subset.length > 0 && { subset }) });
  }
  // The path that exists, if it holds question marks, is the one from the folder.
  const colon = text.indexOf(':');
  const moved = colon < 0 ? text : `${text.slice(0, colon + 1)}${from(text.slice(colon + 1))}`;
  const { kind, path, query, synthetic, subsets } = parseSpec(moved);
  const pairs = [
    ...[...query].map(([name, value]) => [name, pathOptions.includes(name) ? from(value) : value]),
    ...synthetic.files.map((file) => ['captions', from(file)]),
    ...subsets.map((file) => ['subset', from(file)]),
    ...(synthetic.fraction === undefined ? [] : [['synthetic', synthetic.fraction]]),
  ] as [string, string][];
  return `${kind}${path === '' ? '' : `:${path}`}${queryOf(pairs)}`;
}

/** A specification limited to a subset as well. */
export function withSubset(text: string, file: string): string {
  if (text.startsWith('mix:{')) {
    const mix: unknown = JSON.parse(text.slice(4));
    const subset = [...parseSpec(text).subsets, file];
    return `mix:${JSON.stringify({ ...(isObject(mix) ? mix : { sources: mix }), subset })}`;
  }
  const { path } = parseSpec(text);
  const isQueried = text.includes('?', text.indexOf(':') + 1 + path.length);
  return `${text}${isQueried ? '&' : '?'}subset=${file.replaceAll(/[%&?]/g, encodeURIComponent)}`;
}
