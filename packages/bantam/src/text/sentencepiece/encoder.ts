import type { PlainEncoder } from '../plain-encoder.js';
import type { TokenizerFiles } from '../tokenizer-json.js';
import { readSentencePieceModel } from './read-model.js';
import { SentencePiece } from './sentencepiece.js';
import { wrapIds } from './wrappers.js';

/** A tokenizer of SentencePiece from its `.model` file, wrapped as the configuration says. */
export function sentencePieceEncoder({ config, sentencepiece }: TokenizerFiles): PlainEncoder {
  const { bytes, file } = sentencepiece ?? { bytes: new Uint8Array(), file: 'the tokenizer' };
  const model = readSentencePieceModel(bytes, file);
  const processor = new SentencePiece(model, file);
  const { idOf, tokenOf, ...ids } = wrapIds(model, config.bantam?.sentencepiece ?? 't5');
  return {
    ...ids,
    encode: (text) => processor.encode(text).map(idOf),
    decode: (list) => processor.decode(list.map(tokenOf)),
  };
}
