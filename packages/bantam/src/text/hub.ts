import * as library from '@huggingface/tokenizers';
import { CharsMap } from './sentencepiece/charsmap.js';
import { byteToken } from './sentencepiece/model.js';
import type { TokenizerJson } from './tokenizer-json.js';

/** A normaliser of the library. */
export interface HubNormalizer {
  normalize(text: string): string;
  /** Parts of a sequence. */
  readonly normalizers?: readonly (HubNormalizer | null)[];
  /** SentencePiece's rules, in base 64. */
  readonly charsmap?: unknown;
}

/** A vocabulary of the library. */
export interface HubModel {
  encode(words: readonly string[]): string[];
  readonly tokens_to_ids: ReadonlyMap<string, number>;
  readonly config?: { readonly type?: unknown; readonly byte_fallback?: unknown };
}

/** The used part of a tokenizer of Hugging Face's JavaScript library. */
export interface Hub {
  readonly normalizer: HubNormalizer | null;
  readonly model: HubModel;
  readonly pre_tokenizer: { pre_tokenize(text: string): string[] } | null;
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[] };
  decode(ids: readonly number[], options?: { skip_special_tokens?: boolean }): string;
  token_to_id(token: string): number | undefined;
  get_vocab(): Map<string, number>;
}

/** A `tokenizer.json` and its configuration, made to work. */
export type HubConstructor = new (tokenizer: object, config: object) => Hub;

// The library's own declarations import each other without file extensions, which the module
// resolution of Node does not accept.
export const Hub = (library as unknown as { Tokenizer: HubConstructor }).Tokenizer;

type Part = Readonly<Record<string, unknown>>;

/** Chinese characters beyond the first plane, which BERT sets apart like all others. */
const CHINESE_BEYOND_BMP =
  '[\\u{20000}-\\u{2A6DF}\\u{2A700}-\\u{2B73F}\\u{2B740}-\\u{2CEAF}\\u{2F800}-\\u{2FA1F}]';

function isPart(value: unknown): value is Part {
  return typeof value === 'object' && value !== null;
}

function replace(pattern: object, content: string): Part {
  return { type: 'Replace', pattern, content };
}

/**
 * Python lowers letters one by one; JavaScript knows that a sigma at the end of a word is another
 * letter, hence all capital sigmas are lowered before. Python's BERT sees whole characters, the
 * library halves of them.
 */
function correctNormalizer(normalizer: Part): Part {
  const { type, normalizers, lowercase, handle_chinese_chars: splitsChinese } = normalizer;
  if (Array.isArray(normalizers)) {
    return { ...normalizer, normalizers: normalizers.filter(isPart).map(correctNormalizer) };
  }
  const before: Part[] = [];
  if (type === 'Lowercase' || lowercase === true) before.push(replace({ String: 'Σ' }, 'σ'));
  if (splitsChinese === true) before.push(replace({ Regex: CHINESE_BEYOND_BMP }, ' $& '));
  return before.length === 0
    ? normalizer
    : { type: 'Sequence', normalizers: [...before, normalizer] };
}

/** The library's `Whitespace` knows only the letters of ASCII; its `Split` knows all. */
function correctPreTokenizer(preTokenizer: Part): Part {
  const { type, pretokenizers } = preTokenizer;
  if (Array.isArray(pretokenizers)) {
    const parts = pretokenizers.filter(isPart).map(correctPreTokenizer);
    return { ...preTokenizer, pretokenizers: parts };
  }
  return type === 'Whitespace'
    ? { type: 'Split', pattern: { Regex: '\\w+|[^\\w\\s]+' }, behavior: 'Removed', invert: true }
    : preTokenizer;
}

/**
 * Rewrites a `tokenizer.json` so that the JavaScript library computes from it what Hugging Face's
 * Python library computes from the original. Only for use in memory: files keep the original.
 */
export function correctForHub(tokenizer: TokenizerJson): TokenizerJson {
  const { normalizer, pre_tokenizer: preTokenizer } = tokenizer;
  return {
    ...tokenizer,
    normalizer: isPart(normalizer) ? correctNormalizer(normalizer) : null,
    pre_tokenizer: isPart(preTokenizer) ? correctPreTokenizer(preTokenizer) : null,
  };
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const encoder = new TextEncoder();
/** Graphemes of more bytes are replaced character by character. */
const LONGEST_GRAPHEME = 5;

/**
 * SentencePiece's rules as Hugging Face's Python library applies them: of a short grapheme the first
 * rule that its bytes begin with, else of each character.
 */
function applyCharsmap(map: CharsMap, text: string): string {
  const replaced = (part: string): string | undefined =>
    map.match(encoder.encode(part), 0, 'shortest')?.text;
  let result = '';
  for (const { segment } of graphemes.segment(text)) {
    const whole =
      encoder.encode(segment).length <= LONGEST_GRAPHEME ? replaced(segment) : undefined;
    result +=
      whole ?? Array.from(segment, (character) => replaced(character) ?? character).join('');
  }
  return result;
}

function followCharsmaps(normalizer: Hub['normalizer']): void {
  if (normalizer === null) return;
  const { charsmap, normalizers } = normalizer;
  for (const part of normalizers ?? []) followCharsmaps(part);
  if (typeof charsmap !== 'string' || charsmap === '') return;
  const blob = Uint8Array.from(atob(charsmap), (character) => character.charCodeAt(0));
  const map = new CharsMap(blob, 'tokenizer.json');
  normalizer.normalize = (text) => applyCharsmap(map, text);
}

function fallBackToBytes(model: HubModel): void {
  const encode = model.encode.bind(model);
  const known = model.tokens_to_ids;
  model.encode = (words) =>
    encode(words).flatMap((token) => {
      if (known.has(token)) return [token];
      const bytes = Array.from(encoder.encode(token), byteToken);
      return bytes.every((byte) => known.has(byte)) ? bytes : [token];
    });
}

/**
 * Has the library do what it leaves out for SentencePiece's kinds: it takes normal form KC for any
 * rules of normalisation, and knows no bytes in unigram models.
 */
export function completeHub({ normalizer, model }: Hub): void {
  followCharsmaps(normalizer);
  if (model.config?.type === 'Unigram' && model.config.byte_fallback === true) {
    fallBackToBytes(model);
  }
}
