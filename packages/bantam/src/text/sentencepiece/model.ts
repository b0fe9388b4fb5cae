/** Kinds of tokens, by their numbers in the file. */
export const tokenTypes = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

/** A token of a vocabulary; its id is its index. */
export interface Token {
  readonly text: string;
  /** Natural logarithm of its probability, or in BPE the greater the earlier it was merged. */
  readonly score: number;
  /** One of {@link tokenTypes}. */
  readonly type: number;
}

/** How texts are normalised before they are segmented. */
export interface NormalizerSpec {
  /** `nmt_nfkc`, `identity`, … */
  readonly name: string;
  /** Rules as a double array with their replacements; empty: characters stay. */
  readonly charsmap: Uint8Array;
  /** Set white space before the text, so that its first word is like any other. */
  readonly addDummyPrefix: boolean;
  /** No spaces at the ends of a text, and no two in a row. */
  readonly removeExtraWhitespaces: boolean;
  /** Write U+2581 for a space. */
  readonly escapeWhitespaces: boolean;
}

/** Contents of a `.model` file of SentencePiece (Kudo and Richardson 2018, arXiv 1808.06226). */
export interface SentencePieceModel {
  readonly tokens: readonly Token[];
  readonly kind: 'unigram' | 'bpe';
  /** Characters without a token become the tokens of their UTF-8 bytes. */
  readonly byteFallback: boolean;
  /** White space ends a word instead of starting it. */
  readonly whitespaceAsSuffix: boolean;
  readonly normalizer: NormalizerSpec;
  /** Fraction of the characters of the captions that the vocabulary was made to cover. */
  readonly characterCoverage: number;
  /** Ids of the special tokens; −1: none. */
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
}

/** Stands for a space. */
export const SPACE = '\u2581';

/** The name of a byte's token. */
export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}
