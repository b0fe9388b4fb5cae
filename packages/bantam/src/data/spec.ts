import { BantamError } from '../errors.js';
import { didYouMean } from '../nearest.js';

/** A parsed source specification `kind:path?key=value&…`. */
export interface SourceSpec {
  readonly text: string;
  readonly kind: string;
  readonly path: string;
  readonly query: ReadonlyMap<string, string>;
}

/**
 * Parses a source specification. A path may hold any character but `?`; values of the query are
 * percent-decoded.
 */
export function parseSpec(text: string): SourceSpec {
  const mark = text.indexOf('?');
  const head = mark < 0 ? text : text.slice(0, mark);
  const colon = head.indexOf(':');
  const query = new Map<string, string>();
  for (const pair of mark < 0 ? [] : text.slice(mark + 1).split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    if (equals < 1) {
      throw new BantamError(`"${pair}" in the data specification "${text}" is not KEY=VALUE.`);
    }
    query.set(pair.slice(0, equals), decode(pair.slice(equals + 1), text));
  }
  return {
    text,
    kind: colon < 0 ? head : head.slice(0, colon),
    path: colon < 0 ? '' : head.slice(colon + 1),
    query,
  };
}

/** Throws unless every key of the specification's query is one of `known`. */
export function checkQuery(spec: SourceSpec, known: readonly string[]): void {
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
