export { cleanText, type Cleaning } from './clean.js';
export { clipTokenizer, type ClipTokenizerOptions } from './clip-tokenizer.js';
export { fixText } from './clean.js';
export { loadTokenizer, type LoadTokenizerOptions } from './file-tokenizer.js';
export {
  reductionMethods,
  TextReducer,
  type TextReducerOptions,
  type TextReduction,
  type Uniform,
} from './reduce.js';
export { trainTokenizer, type TrainTokenizerOptions } from './train-tokenizer.js';
export { sentencePieceWrappers, type SentencePieceWrapper } from './sentencepiece/wrappers.js';
export { sentencePieceFiles } from './tokenizer-files.js';
export { cleaningByFiles } from './tokenizer-json.js';
export {
  clipContextLength,
  trainedVocabSize,
  type EncodeBatchOptions,
  type EncodedBatch,
  type TextCodec,
  type Tokenizer,
} from './tokenizer.js';
