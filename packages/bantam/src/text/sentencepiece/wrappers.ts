import { BantamError } from '../../base/errors.js';
import { tokenTypes, type SentencePieceModel } from './model.js';

/**
 * How the ids of a `.model` file become those of a text tower:
 *
 * - `t5`: the end token follows the text, padding is the file's (T5, mT5, and Gemma's vocabulary as
 *   OpenCLIP uses it for SigLIP 2);
 * - `siglip`: the same, padded with the end token (SigLIP);
 * - `xlm-roberta`: `<s> text </s>` with fairseq's ids: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, every
 *   other token one higher than in the file, `<mask>` last;
 * - `plain`: the ids of the file and nothing else.
 */
export type SentencePieceWrapper = 't5' | 'siglip' | 'xlm-roberta' | 'plain';

/** All wrappers. */
export const sentencePieceWrappers = ['t5', 'siglip', 'xlm-roberta', 'plain'] as const;

/** Names and ids of a wrapped vocabulary. */
export interface WrappedIds {
  readonly vocabSize: number;
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly sotId: number;
  readonly eotId: number;
  readonly padId: number;
  /** The id of a token. */
  readonly idOf: (token: number) => number;
  /** The token of an id; −1: none. */
  readonly tokenOf: (id: number) => number;
  /** Tokens that are not tokens, or have another id or name than in the file. */
  readonly names: readonly { readonly id: number; readonly text: string }[];
}

/** Tokens of a file of XLM-R before the first ordinary one: unknown, start, end. */
const XLM_ROBERTA_START = 3;

const same = (id: number): number => id;

/** @throws BantamError if a file cannot be wrapped so */
export function wrapIds(
  { tokens, eosId, padId }: SentencePieceModel,
  wrapper: SentencePieceWrapper,
): WrappedIds {
  const size = tokens.length;
  const plain = { vocabSize: size, before: [], sotId: -1, idOf: same, names: [] };
  const tokenOf = (id: number): number => (id < size ? id : -1);
  const pad = Math.max(padId, 0);
  if (wrapper === 'plain') return { ...plain, tokenOf, after: [], eotId: -1, padId: pad };
  if (wrapper === 'xlm-roberta') {
    const unknown = tokens.findIndex(({ type }) => type === tokenTypes.unknown);
    if (unknown >= XLM_ROBERTA_START || size <= XLM_ROBERTA_START) {
      throw new BantamError(
        `The SentencePiece model does not begin with <unk>, <s>, </s> as XLM-R's does; load it with another wrapper (${sentencePieceWrappers.join(', ')}).`,
      );
    }
    return {
      vocabSize: size + 2,
      before: [0],
      after: [2],
      sotId: 0,
      eotId: 2,
      padId: 1,
      idOf: (token) => (token < XLM_ROBERTA_START ? 3 : token + 1),
      tokenOf: (id) => (id === 3 ? unknown : id > 3 && id <= size ? id - 1 : -1),
      names: ['<s>', '<pad>', '</s>', '<unk>', '<mask>'].map((text, i) => ({
        text,
        id: i === 4 ? size + 1 : i,
      })),
    };
  }
  const after = eosId < 0 ? [] : [eosId];
  if (wrapper === 'siglip' && eosId < 0) {
    throw new BantamError(
      'The SentencePiece model has no end token, with which SigLIP pads; load it with another wrapper (t5, plain).',
    );
  }
  return { ...plain, tokenOf, after, eotId: eosId, padId: wrapper === 'siglip' ? eosId : pad };
}

/**
 * The wrapper of a file by the class that `tokenizer_config.json` names, else by the file's own name,
 * as Hugging Face's models call them.
 */
export function guessWrapper(fileName: string, tokenizerClass: unknown): SentencePieceWrapper {
  if (typeof tokenizerClass === 'string') {
    if (/siglip/i.test(tokenizerClass)) return 'siglip';
    if (tokenizerClass.startsWith('XLMRoberta')) return 'xlm-roberta';
    if (/^(M?T5|Gemma)/i.test(tokenizerClass)) return 't5';
  }
  return fileName === 'sentencepiece.bpe.model' ? 'xlm-roberta' : 't5';
}
