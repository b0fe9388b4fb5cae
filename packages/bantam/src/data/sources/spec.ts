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
 * Parses a source specification. A path may hold any character but `?`; values of the query are
 * percent-decoded.
 */
export function parseSpec(text: string): SourceSpec {
  const mark = text.indexOf('?');
  const head = mark < 0 ? text : text.slice(0, mark);
  const colon = head.indexOf(':');
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
    const value = decode(pair.slice(equals + 1), text);
    if (name === 'captions') files.push(value);
    else if (name === 'subset') subsets.push(value);
    else query.set(name, value);
  }
  const fraction = query.get('synthetic');
  query.delete('synthetic');
  return {
    text,
    kind: colon < 0 ? head : head.slice(0, colon),
    path: colon < 0 ? '' : head.slice(colon + 1),
    query,
    synthetic: { files, ...(fraction !== undefined && { fraction }) },
    subsets,
  };
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

function decode(value: string, text: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw new BantamError(`"${value}" in the data specification "${text}" is not percent-encoded.`);
  }
}
