import { at } from '../../base/at.js';
import { TokenTrie } from '../token-trie.js';
import { PriorityQueue } from '../priority-queue.js';
import { tokenTypes, type Token } from './model.js';
import { characterLength, type Segment, type Segmenter } from './segment-unigram.js';

/** A part of a text, linked to its neighbours; −1: none. */
interface Part {
  text: string;
  before: number;
  after: number;
  /** A user-defined token, which does not merge. */
  readonly fixed: boolean;
}

/** Two neighbours that make a token. */
interface Merge {
  readonly left: number;
  readonly right: number;
  readonly score: number;
  readonly length: number;
}

/**
 * Byte-pair encoding as SentencePiece does it: of all neighbours that together are a token, those
 * with the highest score merge, the leftmost of equal ones first. Tokens that are marked as unused
 * are taken apart again.
 */
export function bpeSegmenter(tokens: readonly Token[]): Segmenter {
  const { normal, unknown, userDefined, unused } = tokenTypes;
  const unknownId = tokens.findIndex(({ type }) => type === unknown);
  const ids = new Map<string, number>();
  /** Control, unknown and byte tokens: a text that is one of them takes its id. */
  const reserved = new Map<string, number>();
  for (const [id, { text, type }] of tokens.entries()) {
    const isOwn = type === normal || type === userDefined || type === unused;
    (isOwn ? ids : reserved).set(text, id);
  }
  const fixed = tokens.filter(({ type }) => type === userDefined).map(({ text }) => text);
  const fixedTrie = fixed.length === 0 ? null : new TokenTrie(fixed);

  const split = (text: string): Part[] => {
    const parts: Part[] = [];
    for (let position = 0; position < text.length;) {
      const whole = fixedTrie?.longest(text, position) ?? 0;
      const end = position + (whole > 0 ? whole : characterLength(text, position));
      parts.push({
        text: text.slice(position, end),
        before: parts.length - 1,
        after: end < text.length ? parts.length + 1 : -1,
        fixed: whole > 0,
      });
      position = end;
    }
    return parts;
  };

  return (text) => {
    const parts = split(text);
    const queue = new PriorityQueue<Merge>(
      (a, b) => a.score > b.score || (a.score === b.score && a.left < b.left),
    );
    const halves = new Map<string, readonly [string, string]>();
    const offer = (left: number, right: number): void => {
      if (left < 0 || right < 0) return;
      const [a, b] = [at(parts, left), at(parts, right)];
      const merged = a.text + b.text;
      const id = a.fixed || b.fixed ? undefined : ids.get(merged);
      if (id === undefined) return;
      const { score, type } = at(tokens, id);
      queue.push({ left, right, score, length: merged.length });
      if (type === unused) halves.set(merged, [a.text, b.text]);
    };
    for (let i = 1; i < parts.length; i++) offer(i - 1, i);
    for (let merge = queue.pop(); merge !== undefined; merge = queue.pop()) {
      const left = at(parts, merge.left);
      const right = at(parts, merge.right);
      const isStale = left.text === '' || right.text === '';
      if (isStale || left.text.length + right.text.length !== merge.length) continue;
      left.text += right.text;
      left.after = right.after;
      if (right.after >= 0) at(parts, right.after).before = merge.left;
      right.text = '';
      offer(left.before, merge.left);
      offer(merge.left, left.after);
    }
    const segments: Segment[] = [];
    const add = (token: string): void => {
      const id = reserved.get(token) ?? ids.get(token) ?? unknownId;
      const [left, right] = at(tokens, id).type === unused ? (halves.get(token) ?? []) : [];
      if (left === undefined || right === undefined) {
        segments.push({ text: token, id });
        return;
      }
      add(left);
      add(right);
    };
    for (let i = parts.length === 0 ? -1 : 0; i >= 0; i = at(parts, i).after) {
      add(at(parts, i).text);
    }
    return segments;
  };
}
