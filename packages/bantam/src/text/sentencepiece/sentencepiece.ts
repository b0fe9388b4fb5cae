import { at } from '../../base/at.js';
import { byteToken, tokenTypes, SPACE, type SentencePieceModel } from './model.js';
import { Normalizer } from './normalizer.js';
import { bpeSegmenter } from './segment-bpe.js';
import { unigramSegmenter, type Segmenter } from './segment-unigram.js';

/** The text of an unknown token. */
const UNKNOWN_SURFACE = ' \u2047 ';

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Encodes and decodes texts as the `SentencePieceProcessor` of a model does, without special ids. */
export class SentencePiece {
  readonly #model: SentencePieceModel;
  readonly #normalizer: Normalizer;
  readonly #segment: Segmenter;
  /** By byte, the id of its token; null: without byte fallback. */
  readonly #byteIds: readonly number[] | null;

  /** @param file - for errors */
  constructor(model: SentencePieceModel, file: string) {
    const { tokens, kind, byteFallback } = model;
    this.#model = model;
    const whole = tokens
      .filter(({ type }) => type === tokenTypes.userDefined)
      .map(({ text }) => text);
    this.#normalizer = new Normalizer(model, whole, file);
    this.#segment = kind === 'unigram' ? unigramSegmenter(tokens) : bpeSegmenter(tokens);
    this.#byteIds = byteFallback
      ? Array.from({ length: 256 }, (_, byte) =>
          tokens.findIndex(
            ({ text, type }) => type === tokenTypes.byte && text === byteToken(byte),
          ),
        )
      : null;
  }

  /** The ids of a text; neighbouring unknown characters are one unknown token. */
  encode(text: string): number[] {
    const ids: number[] = [];
    let afterUnknown = false;
    for (const { text: part, id } of this.#segment(this.#normalizer.normalize(text))) {
      const isUnknown = this.#is(id, tokenTypes.unknown);
      if (isUnknown && this.#byteIds !== null) {
        for (const byte of new TextEncoder().encode(part)) ids.push(at(this.#byteIds, byte));
      } else if (!isUnknown || !afterUnknown) {
        ids.push(id);
      }
      afterUnknown = isUnknown;
    }
    return ids;
  }

  /**
   * The text that ids stand for, without the space before it that normalisation adds; control tokens
   * stand for nothing.
   */
  decode(ids: readonly number[]): string {
    const { tokens, normalizer } = this.#model;
    const { addDummyPrefix, removeExtraWhitespaces } = normalizer;
    let text = '';
    let bytes: number[] = [];
    let expectsSpace = addDummyPrefix || removeExtraWhitespaces;
    const flush = (): void => {
      if (bytes.length > 0) text += decoder.decode(Uint8Array.from(bytes));
      bytes = [];
    };
    for (const id of ids) {
      const token = tokens[id];
      if (token === undefined || token.type === tokenTypes.control) continue;
      if (token.type === tokenTypes.byte) {
        bytes.push(Number.parseInt(token.text.slice(3, 5), 16));
        continue;
      }
      flush();
      expectsSpace &&= text === '';
      if (token.type === tokenTypes.unknown) {
        text += UNKNOWN_SURFACE;
      } else if (expectsSpace && token.text.startsWith(SPACE)) {
        text += token.text.slice(SPACE.length).replaceAll(SPACE, ' ');
        expectsSpace = removeExtraWhitespaces;
      } else {
        text += token.text.replaceAll(SPACE, ' ');
      }
    }
    flush();
    return text;
  }

  #is(id: number, type: number): boolean {
    return at(this.#model.tokens, id).type === type;
  }
}
