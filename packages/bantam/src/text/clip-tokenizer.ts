import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { BantamError } from '../base/errors.js';
import { BYTE_CHARACTERS, END_OF_WORD, clipFiles, clipSplitting } from './clip-json.js';
import { HubTokenizer } from './hub-tokenizer.js';
import type { Tokenizer } from './tokenizer.js';

export interface ClipTokenizerOptions {
  /** `bpe_simple_vocab_16e6.txt.gz`, the same unpacked, or Hugging Face's `merges.txt`. */
  readonly mergesFile: string;
  /** `vocab.json` for ids of its own; without it, ids follow from the order of the merges. */
  readonly vocabFile?: string;
  readonly contextLength?: number;
}

/** CLIP uses this many of the 262 144 merges that its file holds: 49152 ids without bytes and specials. */
const CLIP_MERGES = 49152 - 256 - 2;
const START = '<start_of_text>';
const END = '<end_of_text>';
/** Names of the special tokens in Hugging Face's `vocab.json`. */
const HUB_NAMES: Readonly<Record<string, string>> = {
  '<|startoftext|>': START,
  '<|endoftext|>': END,
};

async function readMerges(file: string): Promise<[string, string][]> {
  const bytes = await readFile(file).catch(() => {
    throw new BantamError(
      `The merges file ${file} cannot be read; give bpe_simple_vocab_16e6.txt.gz or merges.txt.`,
    );
  });
  const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const [, ...lines] = (isPacked ? gunzipSync(bytes) : bytes).toString('utf8').split('\n');
  const merges = lines.slice(0, CLIP_MERGES).filter((line) => line.trim() !== '');
  return merges.map((line, i) => {
    const [left, right, ...rest] = line.trim().split(/\s+/);
    if (left === undefined || right === undefined || rest.length > 0) {
      throw new BantamError(
        `Line ${i + 2} of ${file} is not a pair of pieces; give bpe_simple_vocab_16e6.txt.gz or merges.txt.`,
      );
    }
    return [left, right];
  });
}

/** Ids as CLIP numbers them: bytes, bytes that end a word, merges, start and end of text. */
function numberPieces(merges: readonly [string, string][]): Record<string, number> {
  const pieces = [
    ...BYTE_CHARACTERS,
    ...BYTE_CHARACTERS.map((character) => character + END_OF_WORD),
    ...merges.map(([left, right]) => left + right),
    START,
    END,
  ];
  return Object.fromEntries(pieces.map((piece, id) => [piece, id]));
}

async function readVocabulary(file: string): Promise<Record<string, number>> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw new BantamError(`The vocabulary ${file} cannot be read; give CLIP's vocab.json.`);
  });
  const vocab = JSON.parse(text) as Record<string, number>;
  return Object.fromEntries(Object.entries(vocab).map(([k, id]) => [HUB_NAMES[k] ?? k, id]));
}

/**
 * OpenAI CLIP's tokenizer (Radford et al., 2021), from its vocabulary files, with the cleaning of
 * OpenCLIP 3.3 ({@link cleanText} with `lower`): ids equal those of `open_clip.SimpleTokenizer`
 * wherever {@link fixText} equals ftfy. Rows are padded with id 0, which also means `!`: masks must
 * go by the position of the end token (49407), never by the id.
 *
 * @returns a tokenizer with 49 408 ids if the files are complete
 * @throws BantamError if a file is missing or of another kind
 */
export async function clipTokenizer({
  mergesFile,
  vocabFile,
  contextLength = 77,
}: ClipTokenizerOptions): Promise<Tokenizer> {
  const merges = await readMerges(mergesFile);
  const vocab = vocabFile === undefined ? numberPieces(merges) : await readVocabulary(vocabFile);
  if (vocab[START] === undefined || vocab[END] === undefined) {
    throw new BantamError(
      `${vocabFile ?? mergesFile} has no start and end of text; give CLIP's vocab.json.`,
    );
  }
  const files = clipFiles(
    { vocab, merges, startToken: START, endToken: END },
    { bantam: { pad_id: 0 } },
    clipSplitting({ normalize: false }),
  );
  return new HubTokenizer(files, { contextLength, clean: 'lower' });
}
