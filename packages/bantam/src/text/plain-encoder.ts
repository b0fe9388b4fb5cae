/** Encoding and decoding by a tokenizer's files, before texts are cut and padded. */
export interface PlainEncoder {
  /** The highest id plus one. */
  readonly vocabSize: number;
  /** Ids before and after the text's own. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Start and end of a text; −1: none. */
  readonly sotId: number;
  readonly eotId: number;
  readonly padId: number;
  /** A text's own ids. */
  encode(text: string): number[];
  /** The text of one id or more; special ones stand for nothing. */
  decode(ids: readonly number[]): string;
}
