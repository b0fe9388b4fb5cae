import { BantamError } from '../../base/errors.js';
import {
  byteToken,
  tokenTypes,
  type NormalizerSpec,
  type Token,
  type SentencePieceModel,
} from '../sentencepiece/model.js';
import { nmtNfkcCharsmap } from '../sentencepiece/nfkc-rules.js';
import { readCorpus, sampleCaptions, type Corpus } from './corpus.js';
import { improve, type Word } from './expectation-maximization.js';
import { compareCharacters } from './order.js';
import { chooseFinal, onlyReachable, prune } from './prune.js';
import { seedTokens } from './seed-tokens.js';

export interface TrainUnigramOptions {
  /** The most ids, special ones included. */
  readonly vocabSize: number;
  /** Fraction of the captions' characters that get tokens; the others are unknown. */
  readonly characterCoverage: number;
  /** Give characters without a token those of their bytes. */
  readonly byteFallback: boolean;
  /** `nmt_nfkc`: compatibility forms and white space made one; `identity`: characters stay. */
  readonly normalization: 'nmt_nfkc' | 'identity';
  /** Captions to learn from at most, sampled from all. */
  readonly maxCaptions: number;
}

/** Substrings that training begins with at most: SentencePiece's default. */
const SEEDS = 1_000_000;
/** Improvements between one pruning and the next. */
const STEPS = 2;

const PAD = '<pad>';
const UNKNOWN = '<unk>';
const END = '</s>';

function normalizerSpec(name: TrainUnigramOptions['normalization']): NormalizerSpec {
  return {
    name,
    charsmap: name === 'identity' ? new Uint8Array() : nmtNfkcCharsmap(),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
  };
}

/** Words with their counts, the most frequent first. */
function distinctWords({ words }: Corpus): Word[] {
  const counts = new Map<string, number>();
  for (const { text, count } of words) counts.set(text, count + (counts.get(text) ?? 0));
  return Array.from(counts, ([text, count]) => ({ text, count })).sort(
    (a, b) => b.count - a.count || compareCharacters(a.text, b.text),
  );
}

/**
 * Trains a unigram language model over tokens of words (Kudo, "Subword Regularization", 2018, arXiv
 * 1804.10959) as SentencePiece 0.2.3's trainer does with its defaults: seeds from the captions' frequent
 * substrings, then rounds of two steps of expectation maximisation and a pruning of a quarter of the
 * tokens, down to 1.1 times the vocabulary, of which the most probable remain. Deterministic.
 *
 * Ids: 0 pads, 1 is unknown, then the bytes if asked for, then the tokens from the most probable on,
 * and the highest ends a text, where CLIP pools.
 *
 * @throws BantamError if the vocabulary is too small for the characters, or there are no captions
 */
export function trainUnigram(
  captions: Iterable<string>,
  options: TrainUnigramOptions,
): SentencePieceModel {
  const { vocabSize, characterCoverage, byteFallback, normalization, maxCaptions } = options;
  const bytes = byteFallback ? Array.from({ length: 256 }, (_, byte) => byteToken(byte)) : [];
  const normalizer = normalizerSpec(normalization);
  const corpus = readCorpus(sampleCaptions(captions, maxCaptions), {
    normalizer,
    coverage: characterCoverage,
    special: [PAD, UNKNOWN, END, ...bytes],
  });
  const special = 3 + bytes.length;
  if (vocabSize < corpus.characters.size + special) {
    throw new BantamError(
      `A vocabulary of ${vocabSize} ids cannot hold the ${corpus.characters.size} characters of the captions and ${special} special ids; ask for at least ${corpus.characters.size + special}, or for less character coverage than ${characterCoverage}.`,
    );
  }
  const words = distinctWords(corpus);
  const desired = Math.trunc(vocabSize * 1.1);
  let tokens = seedTokens(corpus, SEEDS);
  for (;;) {
    for (let step = 0; step < STEPS; step++) tokens = improve(words, tokens);
    tokens = prune(words, tokens, desired);
    if (tokens.texts.length <= desired) break;
  }
  const chosen = chooseFinal(onlyReachable(tokens), corpus.characters.keys(), vocabSize - special);
  const { normal, control, unknown, byte } = tokenTypes;
  const vocabulary: Token[] = [
    { text: PAD, score: 0, type: control },
    { text: UNKNOWN, score: 0, type: unknown },
    ...bytes.map((text) => ({ text, score: 0, type: byte })),
    ...chosen.map(({ text, score }) => ({ text, score, type: normal })),
    { text: END, score: 0, type: control },
  ];
  return {
    tokens: vocabulary,
    kind: 'unigram',
    byteFallback,
    whitespaceAsSuffix: false,
    normalizer,
    characterCoverage,
    bosId: -1,
    eosId: vocabulary.length - 1,
    padId: 0,
  };
}
