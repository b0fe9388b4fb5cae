import * as library from '@huggingface/tokenizers';
import type { TokenizerJson } from './tokenizer-json.js';

/** The used part of a tokenizer of Hugging Face's JavaScript library. */
export interface Hub {
  readonly normalizer: { normalize(text: string): string } | null;
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
