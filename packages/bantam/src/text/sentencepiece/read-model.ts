import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { byteToken, tokenTypes, type NormalizerSpec, type Token } from './model.js';
import type { SentencePieceModel } from './model.js';

/** By number of a field of a message, the type on the wire and what to do with it. */
type Fields = Readonly<Record<number, readonly [WireType, (reader: BinaryReader) => void]>>;

const strictly = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads a message; fields of other numbers are passed over. */
function readMessage(bytes: Uint8Array, fields: Fields): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    const field = fields[number];
    if (field === undefined) {
      reader.skip(type, number);
      continue;
    }
    const [expected, read] = field;
    if (type === expected) {
      read(reader);
    } else {
      throw new RangeError(`field ${number} has the wire type ${type}`);
    }
  }
}

const { Bit32, LengthDelimited, Varint } = WireType;

function readToken(bytes: Uint8Array): Token {
  let text = '';
  let score = 0;
  let type: number = tokenTypes.normal;
  readMessage(bytes, {
    1: [LengthDelimited, (reader) => (text = strictly.decode(reader.bytes()))],
    2: [Bit32, (reader) => (score = reader.float())],
    3: [Varint, (reader) => (type = reader.int32())],
  });
  return { text, score, type };
}

function readNormalizer(bytes: Uint8Array): NormalizerSpec {
  const spec = {
    name: '',
    charsmap: new Uint8Array(),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
  };
  readMessage(bytes, {
    1: [LengthDelimited, (reader) => (spec.name = strictly.decode(reader.bytes()))],
    2: [LengthDelimited, (reader) => (spec.charsmap = Uint8Array.from(reader.bytes()))],
    3: [Varint, (reader) => (spec.addDummyPrefix = reader.bool())],
    4: [Varint, (reader) => (spec.removeExtraWhitespaces = reader.bool())],
    5: [Varint, (reader) => (spec.escapeWhitespaces = reader.bool())],
  });
  return spec;
}

const kinds = new Map([
  [1, 'unigram'],
  [2, 'bpe'],
  [3, 'word'],
  [4, 'char'],
]);

interface TrainerSpec {
  kind: string;
  characterCoverage: number;
  byteFallback: boolean;
  whitespaceAsSuffix: boolean;
  bosId: number;
  eosId: number;
  padId: number;
}

function readTrainer(bytes: Uint8Array): TrainerSpec {
  const spec: TrainerSpec = {
    kind: 'unigram',
    characterCoverage: Math.fround(0.9995),
    byteFallback: false,
    whitespaceAsSuffix: false,
    bosId: 1,
    eosId: 2,
    padId: -1,
  };
  readMessage(bytes, {
    3: [Varint, (reader) => (spec.kind = kinds.get(reader.int32()) ?? 'unknown')],
    10: [Bit32, (reader) => (spec.characterCoverage = reader.float())],
    24: [Varint, (reader) => (spec.whitespaceAsSuffix = reader.bool())],
    35: [Varint, (reader) => (spec.byteFallback = reader.bool())],
    41: [Varint, (reader) => (spec.bosId = reader.int32())],
    42: [Varint, (reader) => (spec.eosId = reader.int32())],
    43: [Varint, (reader) => (spec.padId = reader.int32())],
  });
  return spec;
}

/** Types of tokens that texts are split into beside the normal ones. */
const inTexts: readonly number[] = [tokenTypes.userDefined, tokenTypes.unused];

/** @returns what is wrong with a vocabulary; undefined: nothing */
function faultOf(tokens: readonly Token[], byteFallback: boolean): string | undefined {
  const seen = new Set<string>();
  const bytes = new Set<string>();
  let unknown = 0;
  for (const [id, { text, score, type }] of tokens.entries()) {
    if (text === '') return `token ${id} is empty`;
    const isReserved = type !== tokenTypes.normal && !inTexts.includes(type);
    if (seen.has(`${isReserved} ${text}`))
      return `the token ${JSON.stringify(text)} is there twice`;
    if (!Number.isFinite(score)) return `the token ${JSON.stringify(text)} has no finite score`;
    seen.add(`${isReserved} ${text}`);
    if (type === tokenTypes.unknown) unknown++;
    if (type === tokenTypes.byte) bytes.add(text);
    if (type < 1 || type > 6) return `the token ${JSON.stringify(text)} is of kind ${type}`;
  }
  if (unknown !== 1) return `${unknown} tokens are unknown's, where 1 must be`;
  if (!byteFallback) return undefined;
  for (let byte = 0; byte < 256; byte++) {
    if (!bytes.has(byteToken(byte))) return `the byte token ${byteToken(byte)} is missing`;
  }
  return undefined;
}

/**
 * Reads a `.model` file of SentencePiece: a message `ModelProto` of its
 * `sentencepiece_model.proto`.
 *
 * @param file - its name, for errors
 * @throws BantamError if it is damaged, something else, or of a kind other than unigram and BPE
 */
export function readSentencePieceModel(bytes: Uint8Array, file: string): SentencePieceModel {
  const tokens: Token[] = [];
  let normalizer = readNormalizer(new Uint8Array());
  let trainer = readTrainer(new Uint8Array());
  try {
    readMessage(bytes, {
      1: [LengthDelimited, (reader) => tokens.push(readToken(reader.bytes()))],
      2: [LengthDelimited, (reader) => (trainer = readTrainer(reader.bytes()))],
      3: [LengthDelimited, (reader) => (normalizer = readNormalizer(reader.bytes()))],
    });
  } catch (error) {
    throw damaged(file, causeOf(error));
  }
  if (tokens.length === 0) throw damaged(file, 'it has no tokens');
  const { kind, ...settings } = trainer;
  if (kind !== 'unigram' && kind !== 'bpe') {
    throw new BantamError(
      `${file} is a SentencePiece model of the kind "${kind}", but only "unigram" and "bpe" are read; train one of these kinds.`,
    );
  }
  const fault = faultOf(tokens, settings.byteFallback);
  if (fault !== undefined) throw damaged(file, fault);
  const inRange = (id: number): number => (id < tokens.length ? id : -1);
  return {
    ...settings,
    kind,
    tokens,
    normalizer,
    bosId: inRange(settings.bosId),
    eosId: inRange(settings.eosId),
    padId: inRange(settings.padId),
  };
}

function damaged(file: string, reason: string): BantamError {
  return new BantamError(
    `${file} is not a whole SentencePiece model (${reason.replace(/\.$/, '')}); fetch it again.`,
  );
}
