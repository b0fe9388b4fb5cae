import { existsSync } from 'node:fs';
import { BantamError } from '../../base/errors.js';
import { didYouMean } from '../../base/did-you-mean.js';

/** A parsed source specification `kind:path?key=value&…`. */
export interface SourceSpec {
  readonly text: string;
  readonly kind: string;
  readonly path: string;
  /** The options of the kind. */
  readonly query: ReadonlyMap<string, string>;
  /** The options that every kind has; see {@link addSyntheticCaptions}. */
  readonly synthetic: { readonly files: readonly string[]; readonly fraction?: string };
  /** Files of keys that limit the source; see {@link limitToSubsets}. */
  readonly subsets: readonly string[];
}

/** Options of every kind: synthetic captions, how often they are sampled, and subsets. */
const commonOptions = ['captions', 'synthetic', 'subset'];

/**
 * Parses a source specification. Values of the query are percent-decoded, the path is not. A path may
 * hold question marks if there is a file or folder of that name: the query starts at the last `?`
 * before which the path exists, else at the first.
 */
export function parseSpec(text: string): SourceSpec {
  const colon = text.indexOf(':');
  const first = text.indexOf('?');
  // A mix may be given in place, as JSON.
  if (text.startsWith('mix:{')) {
    const path = text.slice(4);
    return {
      text,
      kind: 'mix',
      path,
      query: new Map(),
      synthetic: { files: [] },
      subsets: subsetsOfMix(path),
    };
  }
  const mark = colon < 0 || colon > first ? first : queryStart(text, colon + 1);
  const head = mark < 0 ? text : text.slice(0, mark);
  const query = new Map<string, string>();
  const files: string[] = [];
  const subsets: string[] = [];
  for (const pair of mark < 0 ? [] : text.slice(mark + 1).split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    if (equals < 1) {
      throw new BantamError(`"${pair}" in the data specification "${text}" is not KEY=VALUE.`);
    }
    const name = pair.slice(0, equals);
    const value = decode(pair.slice(equals + 1));
    if (name === 'captions') files.push(value);
    else if (name === 'subset') subsets.push(value);
    else if (!query.has(name)) query.set(name, value);
    else {
      throw new BantamError(
        `The data specification "${text}" has "${name}" twice; keep one of them.`,
      );
    }
  }
  const fraction = query.get('synthetic');
  query.delete('synthetic');
  const hasKind = colon >= 0 && colon < head.length;
  return {
    text,
    kind: hasKind ? head.slice(0, colon) : head,
    path: hasKind ? head.slice(colon + 1) : '',
    query,
    synthetic: { files, ...(fraction !== undefined && { fraction }) },
    subsets,
  };
}

/** The `?` that starts the query; −1 if there is none. */
function queryStart(text: string, path: number): number {
  const first = text.indexOf('?', path);
  if (first < 0 || existsSync(text.slice(path))) return -1;
  for (let mark = text.lastIndexOf('?'); mark > first; mark = text.lastIndexOf('?', mark - 1)) {
    if (existsSync(text.slice(path, mark))) return mark;
  }
  return first;
}

/** Throws unless every key of the specification's query is one of the kind's `own`. */
export function checkQuery(spec: SourceSpec, own: readonly string[]): void {
  const known = [...own, ...commonOptions];
  for (const key of spec.query.keys()) {
    if (!known.includes(key)) {
      throw new BantamError(
        `"${spec.kind}" data has no option "${key}"${didYouMean(key, known)}; it has ${known.join(', ')}.`,
      );
    }
  }
}

/** Percent-decoded; a percent sign that encodes nothing stays. */
function decode(value: string): string {
  return value.replaceAll(/(?:%[0-9a-f]{2})+/gi, (encoded) => {
    try {
      return decodeURIComponent(encoded);
    } catch {
      return encoded;
    }
  });
}

/** The files of keys that a mix in place names; none of one that is damaged, which its opener reports. */
function subsetsOfMix(json: string): readonly string[] {
  try {
    const { subset = [] } = JSON.parse(json) as { readonly subset?: unknown };
    const files: unknown[] = Array.isArray(subset) ? subset : [subset];
    return files.map(String);
  } catch {
    return [];
  }
}
