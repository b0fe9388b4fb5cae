/** The most ids that a text of CLIP has (Radford et al. 2021), start and end included. */
export const clipContextLength = 77;

/** The most ids of a vocabulary that is trained on captions, if no other number is asked for. */
export const trainedVocabSize = 4096;

/** Token ids of a batch of texts, row after row, each row filled up with the padding id. */
export interface EncodedBatch {
  /** `rows × columns` ids in row-major order. */
  readonly ids: BigInt64Array;
  /** `[rows, columns]`. */
  readonly shape: [number, number];
}

export interface EncodeBatchOptions {
  /** Columns: as many as the longest text of the batch needs, or the whole context. */
  readonly length?: 'longest' | 'context';
}

/** Turns texts into the token ids of a text tower, and back. */
export interface TextCodec {
  /** Rows of an embedding table that holds every id: the highest id plus one. */
  readonly vocabSize: number;
  /** The most ids that a text is encoded to, special tokens included. */
  readonly contextLength: number;
  /** Id that starts every sequence; −1 for kinds that have none (T5, SigLIP). */
  readonly sotId: number;
  /** Id that ends every sequence; −1 for kinds that have none (GPT-2). */
  readonly eotId: number;
  /** Id that fills rows up. */
  readonly padId: number;
  /**
   * Ids of one text, special tokens included and without padding. A text that is too long for the
   * context loses its end; the special tokens stay, so that the last id is always {@link eotId}.
   */
  encode(text: string): number[];
  /** Ids of many texts, padded on the right to a rectangle; texts seen before come from a cache. */
  encodeBatch(texts: readonly string[], options?: EncodeBatchOptions): EncodedBatch;
  /** The text that ids stand for, without special tokens. */
  decode(ids: Iterable<number | bigint>): string;
}

/** A {@link TextCodec} that can be kept in files. */
export interface Tokenizer extends TextCodec {
  /**
   * Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` for
   * `loadTokenizer`, Hugging Face's AutoTokenizer and OpenCLIP's HFTokenizer.
   */
  save(directory: string): Promise<void>;
}
