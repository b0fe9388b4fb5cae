import { BantamError } from '../base/errors.js';
import { cleanText, type Cleaning } from './clean.js';
import { hubEncoder } from './hub-encoder.js';
import { sentencePieceEncoder } from './sentencepiece/encoder.js';
import type { PlainEncoder } from './plain-encoder.js';
import { TextCache } from './text-cache.js';
import { checkId, cleaningByFiles, type TokenizerFiles } from './tokenizer-json.js';
import {
  clipContextLength,
  type EncodeBatchOptions,
  type EncodedBatch,
  type TextCodec,
} from './tokenizer.js';

/** Context length and cleaning of a tokenizer. */
export interface FrameOptions {
  readonly contextLength: number;
  readonly clean: Cleaning;
}

/**
 * A tokenizer from its files: of Hugging Face's kinds by their JavaScript library, of SentencePiece
 * by our own code; with OpenCLIP's cleaning before it and CLIP's cutting and padding after it.
 */
export class FramedTokenizer implements TextCodec {
  readonly contextLength: number;
  readonly vocabSize: number;
  readonly sotId: number;
  readonly eotId: number;
  readonly padId: number;
  readonly #encoder: PlainEncoder;
  readonly #files: TokenizerFiles;
  readonly #clean: Cleaning;
  readonly #cache = new TextCache<BigInt64Array>();

  constructor(files: TokenizerFiles, { contextLength, clean }: FrameOptions) {
    this.#files = files;
    this.#encoder =
      files.sentencepiece === undefined ? hubEncoder(files) : sentencePieceEncoder(files);
    this.#clean = clean;
    const { before, after, vocabSize, sotId, eotId, padId } = this.#encoder;
    const room = before.length + after.length;
    if (!Number.isInteger(contextLength) || contextLength <= room) {
      throw new BantamError(
        `A context of ${contextLength} ids has no room for text beside ${room} special ones; give a larger contextLength.`,
      );
    }
    this.contextLength = contextLength;
    this.vocabSize = vocabSize;
    this.sotId = sotId;
    this.eotId = eotId;
    this.padId = checkId(files.config.bantam?.pad_id ?? padId, 'padding');
  }

  encode(text: string): number[] {
    return Array.from(this.#encoded(text), Number);
  }

  encodeBatch(
    texts: readonly string[],
    { length = 'longest' }: EncodeBatchOptions = {},
  ): EncodedBatch {
    const rows = texts.map((text) => this.#encoded(text));
    const columns =
      length === 'context'
        ? this.contextLength
        : rows.reduce((longest, row) => Math.max(longest, row.length), 0);
    const ids = new BigInt64Array(rows.length * columns).fill(BigInt(this.padId));
    rows.forEach((row, i) => {
      ids.set(row, i * columns);
    });
    return { ids, shape: [rows.length, columns] };
  }

  decode(ids: Iterable<number | bigint>): string {
    const list = Array.from(ids, Number).filter((id) => id !== this.padId);
    return list.length === 0 ? '' : this.#encoder.decode(list);
  }

  /** The files that this tokenizer can be read from again, with its own length and cleaning. */
  get files(): TokenizerFiles {
    const { config } = this.#files;
    const bantam = { ...config.bantam, clean: this.#clean };
    return {
      ...this.#files,
      config: { ...config, model_max_length: this.contextLength, bantam },
    };
  }

  #encoded(text: string): BigInt64Array {
    const known = this.#cache.get(text);
    if (known !== undefined) return known;
    const { before, after } = this.#encoder;
    const room = this.contextLength - before.length - after.length;
    const own = this.#encoder.encode(cleanText(text, this.#clean)).slice(0, room);
    const ids = BigInt64Array.from([...before, ...own, ...after], (id) =>
      BigInt(checkId(id, 'a part of a text')),
    );
    this.#cache.set(text, ids);
    return ids;
  }
}

/** Hugging Face writes 1e30 for "no limit"; no text tower has a context beyond this. */
const LONGEST_CONTEXT = 1 << 20;

/** Context length and cleaning of the files, or those given in their place. */
export function settingsOf(
  { tokenizer, config }: TokenizerFiles,
  given: Partial<FrameOptions> = {},
): FrameOptions {
  const stored = tokenizer.truncation?.max_length ?? config.model_max_length ?? clipContextLength;
  return {
    contextLength: given.contextLength ?? (stored < LONGEST_CONTEXT ? stored : clipContextLength),
    clean: given.clean ?? cleaningByFiles(config),
  };
}
