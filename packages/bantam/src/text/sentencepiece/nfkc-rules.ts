import { encodeCharsmap } from './encode-charsmap.js';
import { characterLength } from './segment-unigram.js';

/**
 * Replacements by text, of which a normaliser takes the longest that fits. Insertion order has no
 * meaning.
 */
type Rules = Map<string, string>;

/**
 * Code points among which are all that have another normal form or are part of one, from each first to
 * before the second. Between them are ideographs, surrogates, private and unassigned ones.
 */
const ranges = [
  [0x1, 0x3400],
  [0xa000, 0xd800],
  [0xf900, 0x20000],
  [0x2f800, 0x2fa20],
] as const;

function* codePoints(): Generator<number, void, undefined> {
  for (const [first, end] of ranges) {
    for (let code: number = first; code < end; code++) yield code;
  }
}

/** All texts whose characters are one each of the given alternatives. */
function combinations(alternatives: readonly (readonly string[])[]): string[] {
  return alternatives.reduce<string[]>(
    (texts, next) => texts.flatMap((text) => next.map((character) => text + character)),
    [''],
  );
}

/** Applies rules of up to `longest` characters from the left, the longest that fits first. */
function apply(rules: Rules, text: string, longest: number): string {
  let result = '';
  for (let start = 0; start < text.length;) {
    const first = start + characterLength(text, start);
    const ends = [first];
    for (let end = first; ends.length < longest && end < text.length;) {
      end += characterLength(text, end);
      ends.push(end);
    }
    const end = ends.findLast((last) => rules.has(text.slice(start, last))) ?? first;
    const own = text.slice(start, end);
    result += rules.get(own) ?? own;
    start = end;
  }
  return result;
}

/** Rules without those that shorter ones already do. */
function withoutRedundant(rules: Rules): Rules {
  const byLength = new Map<number, [string, string][]>();
  for (const rule of rules) {
    const { length } = Array.from(rule[0]);
    const group = byLength.get(length);
    if (group === undefined) byLength.set(length, [rule]);
    else group.push(rule);
  }
  const kept: Rules = new Map(byLength.get(1) ?? []);
  for (const length of [...byLength.keys()].sort((a, b) => a - b)) {
    if (length === 1) continue;
    const needed = (byLength.get(length) ?? []).filter(
      ([from, to]) => to !== apply(kept, from, length - 1),
    );
    for (const [from, to] of needed) kept.set(from, to);
  }
  return kept;
}

/** Unicode's normal form KC as rules: of every character, and of every sequence that composes. */
function nfkcRules(): Rules {
  const rules: Rules = new Map();
  /** By character in normal form, the characters that it is the normal form of. */
  const variants = new Map<string, string[]>();
  const decomposed = new Set<string>();
  for (const code of codePoints()) {
    const character = String.fromCodePoint(code);
    const composed = character.normalize('NFKC');
    if (composed !== character) rules.set(character, composed);
    const parts = character.normalize('NFKD');
    const [, second] = parts;
    if (second === undefined || Array.from(parts).length === 1) {
      const known = variants.get(parts);
      if (known === undefined) variants.set(parts, [character]);
      else known.push(character);
    } else {
      decomposed.add(parts);
    }
  }
  for (const parts of decomposed) {
    const composed = parts.normalize('NFKC');
    if (composed === parts) continue;
    for (const text of combinations(Array.from(parts, (one) => variants.get(one) ?? [one]))) {
      if (text !== composed) rules.set(text, composed);
    }
  }
  return withoutRedundant(rules);
}

/** Characters that are spaces to SentencePiece beside those that normal form KC makes spaces. */
const SPACES = '\t\n\f\r\u061c\u1680\u200b\u200c\u200e\u200f\u2028\u2029\u2581\ufeff\ufffd';
/** Control characters, which go. */
const REMOVED = [
  ...Array.from({ length: 0x1f }, (_, i) => i + 1).filter(
    (code) => !SPACES.includes(String.fromCharCode(code)),
  ),
  0x7f,
  0x8f,
  0x9f,
];
/** A tilde that means something else in Japanese than the ordinary one. */
const FULL_WIDTH_TILDE = '\uff5e';

let charsmap: Uint8Array | undefined;

/**
 * SentencePiece's default rules `nmt_nfkc`: normal form KC, further spaces, no control characters.
 * Made from the Unicode that Node has, once.
 */
export function nmtNfkcCharsmap(): Uint8Array {
  if (charsmap === undefined) {
    const rules = nfkcRules();
    for (const character of SPACES) rules.set(character, ' ');
    for (const code of REMOVED) rules.set(String.fromCharCode(code), '');
    rules.delete(FULL_WIDTH_TILDE);
    charsmap = encodeCharsmap(withoutRedundant(rules));
  }
  return charsmap;
}
