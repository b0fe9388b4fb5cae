import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { tokenTypes, type SentencePieceModel } from './model.js';

const { Bit32, LengthDelimited, Varint } = WireType;
const kinds = { unigram: 1, bpe: 2 } as const;

/** A `.model` file that SentencePiece reads, of the fields that {@link SentencePieceModel} has. */
export function writeSentencePieceModel(model: SentencePieceModel): Uint8Array {
  const writer = new BinaryWriter();
  for (const { text, score, type } of model.tokens) {
    writer.tag(1, LengthDelimited).fork();
    writer.tag(1, LengthDelimited).string(text);
    writer.tag(2, Bit32).float(score);
    if (type !== tokenTypes.normal) writer.tag(3, Varint).int32(type);
    writer.join();
  }
  const unknown = model.tokens.findIndex(({ type }) => type === tokenTypes.unknown);
  writer.tag(2, LengthDelimited).fork();
  writer.tag(3, Varint).int32(kinds[model.kind]);
  writer.tag(4, Varint).int32(model.tokens.length);
  writer.tag(10, Bit32).float(model.characterCoverage);
  writer.tag(24, Varint).bool(model.whitespaceAsSuffix);
  writer.tag(35, Varint).bool(model.byteFallback);
  writer.tag(40, Varint).int32(unknown);
  writer.tag(41, Varint).int32(model.bosId);
  writer.tag(42, Varint).int32(model.eosId);
  writer.tag(43, Varint).int32(model.padId);
  writer.join();
  const { name, charsmap, addDummyPrefix, removeExtraWhitespaces, escapeWhitespaces } =
    model.normalizer;
  writer.tag(3, LengthDelimited).fork();
  writer.tag(1, LengthDelimited).string(name);
  writer.tag(2, LengthDelimited).bytes(charsmap);
  writer.tag(3, Varint).bool(addDummyPrefix);
  writer.tag(4, Varint).bool(removeExtraWhitespaces);
  writer.tag(5, Varint).bool(escapeWhitespaces);
  writer.join();
  return writer.finish();
}
