import { TorchError } from '../errors.js';
import { nearest } from '../nearest.js';

/**
 * Names parameters by their dotted names. A string is a glob, in which `*` stands for any run of
 * characters, `?` for one, and `{a,b}` for either; it matches a name or a module around it (`visual`
 * matches `visual.proj`). A string between slashes (`/ln_\d/`) or a RegExp is searched for anywhere.
 */
export type NamePattern = string | RegExp;

const globParts = new Map([
  ['*', '.*'],
  ['?', '.'],
  ['{', '(?:'],
  ['}', ')'],
  [',', '|'],
]);

function compile(pattern: NamePattern): RegExp {
  if (pattern instanceof RegExp) return new RegExp(pattern.source, pattern.flags.replace('g', ''));
  const regex = /^\/(.+)\/$/.exec(pattern)?.[1];
  const source =
    regex ??
    `^(?:${pattern.replace(/[^\w]/g, (sign) => globParts.get(sign) ?? `\\${sign}`)})(?:\\.|$)`;
  try {
    return new RegExp(source, 'u');
  } catch {
    throw new TorchError(
      `The name pattern '${pattern}' cannot be read; write a glob such as 'visual.*' or a regular expression between slashes.`,
    );
  }
}

/** A test of names against a pattern. */
export function nameMatcher(pattern: NamePattern): (name: string) => boolean {
  const regex = compile(pattern);
  return (name) => regex.test(name);
}

/** A name and the modules around it: `a`, `a.b`, `a.b.c` for `a.b.c`. */
function pathsTo(name: string): string[] {
  const parts = name.split('.');
  return parts.map((_, index) => parts.slice(0, index + 1).join('.'));
}

/**
 * The names that any of the patterns match.
 *
 * @throws TorchError when a pattern matches none of the names: it is a misspelling. It names the nearest.
 */
export function matchNames(
  patterns: readonly NamePattern[],
  names: Iterable<string>,
): ReadonlySet<string> {
  const all = [...names];
  const matched = new Set<string>();
  for (const pattern of patterns) {
    const found = all.filter(nameMatcher(pattern));
    if (found.length === 0) {
      const close = nearest(String(pattern), all.flatMap(pathsTo));
      const hint = close === undefined ? '' : ` (did you mean '${close}'?)`;
      throw new TorchError(
        `The pattern '${String(pattern)}' matches none of the ${all.length} parameter names${hint}; correct it or leave it out.`,
      );
    }
    for (const name of found) matched.add(name);
  }
  return matched;
}
