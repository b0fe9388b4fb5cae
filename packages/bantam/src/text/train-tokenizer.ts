import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';
import { cleanText, type Cleaning } from './clean.js';
import { BYTE_CHARACTERS, clipFiles, END_OF_WORD } from './clip-tokenizer.js';
import { FileTokenizer } from './file-tokenizer.js';
import { correctForHub, Hub } from './hub.js';
import { learnMerges, type CountedWord } from './learn-merges.js';
import { toTokenizerJson } from './sentencepiece/to-tokenizer-json.js';
import { writeSentencePieceModel } from './sentencepiece/write-model.js';
import { SENTENCEPIECE_FILE, type TokenizerFiles } from './tokenizer-json.js';
import { trainedVocabSize, type Tokenizer } from './tokenizer.js';
import { trainUnigram, type TrainUnigramOptions } from './unigram/train-unigram.js';

export interface TrainTokenizerOptions extends Partial<Omit<TrainUnigramOptions, 'vocabSize'>> {
  /** `bpe` (default): byte pairs, of CLIP's kind. `unigram`: a unigram model of SentencePiece. */
  readonly type?: 'bpe' | 'unigram';
  /** The most ids, special tokens included; fewer if the captions do not yield as many. */
  readonly vocabSize?: number;
  readonly contextLength?: number;
  /** In `bpe`, pairs of tokens that occur less often do not become one token. */
  readonly minFrequency?: number;
  /** Cleaning before training and encoding; the default is what OpenCLIP's HFTokenizer does. */
  readonly clean?: Cleaning;
}

const PAD = '<|pad|>';
const START = '<|startoftext|>';
const END = '<|endoftext|>';
/** Padding, then all bytes, then all bytes as the end of a word. */
const BASE = [
  PAD,
  ...BYTE_CHARACTERS,
  ...BYTE_CHARACTERS.map((character) => character + END_OF_WORD),
];
const SMALLEST = BASE.length + 2;

function vocabularyOf(tokens: readonly string[]): Record<string, number> {
  return Object.fromEntries([...tokens, START, END].map((token, id) => [token, id]));
}

/** Splits captions to words exactly as the finished tokenizer will, and counts them. */
function countWords(captions: Iterable<string>, clean: Cleaning): Map<string, number> {
  const times = new Map<string, number>();
  for (const caption of captions) times.set(caption, (times.get(caption) ?? 0) + 1);
  const special = { startToken: START, endToken: END, padToken: PAD };
  const { tokenizer } = clipFiles({ vocab: vocabularyOf(BASE), merges: [], ...special });
  const { normalizer, pre_tokenizer: splitter } = new Hub(correctForHub(tokenizer), {});
  const counts = new Map<string, number>();
  for (const [caption, count] of times) {
    const text = normalizer?.normalize(cleanText(caption, clean)) ?? '';
    for (const word of splitter?.pre_tokenize(text) ?? []) {
      counts.set(word, (counts.get(word) ?? 0) + count);
    }
  }
  return counts;
}

/**
 * Trains a tokenizer on captions, by `type`:
 *
 * - `bpe`: byte-level BPE of CLIP's kind (see {@link learnMerges} for the algorithm and its order of
 *   ties): normal form C, white space collapsed, lower case, CLIP's pattern of words, tokens of
 *   UTF-8 bytes, `</w>` at the end of words. No text is unknown to it. Ids: 0 is padding and nothing
 *   else; 1–256 the bytes; 257–512 bytes that end a word; then the merges; the highest two are the
 *   start and the end of text.
 * - `unigram`: see {@link trainUnigram}. The end of text is the highest id, there is no start.
 *
 * The end token is where `argmax(ids)` is, as CLIP pools.
 *
 * @param captions - texts to learn from; repeated ones count as often as they come
 * @throws BantamError if `vocabSize` is too small, or there are no captions
 */
export function trainTokenizer(
  captions: Iterable<string>,
  {
    type = 'bpe',
    vocabSize = trainedVocabSize,
    contextLength = 32,
    minFrequency = 2,
    clean = 'whitespace',
    characterCoverage = 0.9995,
    byteFallback = false,
    normalization = 'nmt_nfkc',
    maxCaptions = 1_000_000,
  }: TrainTokenizerOptions = {},
): Tokenizer {
  const settings = { contextLength, clean };
  if (type === 'bpe') {
    return new FileTokenizer(trainBpe(captions, { vocabSize, minFrequency, clean }), settings);
  }
  const model = trainUnigram(cleaned(captions, clean), {
    vocabSize,
    characterCoverage,
    byteFallback,
    normalization,
    maxCaptions,
  });
  const sentencepiece = { bytes: writeSentencePieceModel(model), file: SENTENCEPIECE_FILE };
  return new FileTokenizer({ ...toTokenizerJson(model, 't5'), sentencepiece }, settings);
}

function* cleaned(captions: Iterable<string>, clean: Cleaning): Generator<string, void, undefined> {
  for (const caption of captions) yield cleanText(caption, clean);
}

function trainBpe(
  captions: Iterable<string>,
  {
    vocabSize,
    minFrequency,
    clean,
  }: Required<Pick<TrainTokenizerOptions, 'vocabSize' | 'minFrequency' | 'clean'>>,
): TokenizerFiles {
  if (!Number.isInteger(vocabSize) || vocabSize < SMALLEST) {
    throw new BantamError(
      `A vocabulary of ${vocabSize} ids cannot hold all bytes and the special tokens; ask for at least ${SMALLEST}.`,
    );
  }
  const ids = new Map(BASE.map((token, id) => [token, id]));
  const idOf = (token: string): number => {
    const id = ids.get(token);
    if (id === undefined) throw new RangeError(`"${token}" stands for no byte.`);
    return id;
  };
  const words = Array.from(countWords(captions, clean), ([word, count]): CountedWord => {
    const tokens = Array.from(word).map((character, i, all) =>
      i === all.length - 1 ? character + END_OF_WORD : character,
    );
    return { symbols: tokens.map((token) => idOf(token)), count };
  });
  if (words.length === 0) {
    throw new BantamError('There are no words to train a tokenizer on; give it captions.');
  }
  const tokens = [...BASE];
  const merges = learnMerges(words, {
    firstId: BASE.length,
    maxMerges: vocabSize - SMALLEST,
    minFrequency,
  }).map(([left, right]): [string, string] => {
    const pair: [string, string] = [at(tokens, left), at(tokens, right)];
    tokens.push(pair.join(''));
    return pair;
  });
  const vocab = vocabularyOf(tokens);
  return clipFiles({ vocab, merges, startToken: START, endToken: END, padToken: PAD });
}
