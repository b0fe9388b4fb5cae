import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { BantamError } from '../base/errors.js';
import { FileTokenizer } from './file-tokenizer.js';
import type { TokenizerFiles, TokenizerJson } from './tokenizer-json.js';
import { clipContextLength, type Tokenizer } from './tokenizer.js';

/** Ends the last token of each word. */
export const END_OF_WORD = '</w>';

/**
 * The words of a text: contractions, runs of letters, single digits, runs of anything else (Radford
 * et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021).
 */
const WORD = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";

/**
 * The same without regard to case, as OpenAI's own tokenizer has it. For text in lower case that
 * matters to two characters: the long s, and the combining iota, whose capital is a letter and
 * which is thus neither a letter nor anything else.
 */
const WORD_OF_ANY_CASE = "'[sſ]|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}\\u0345]+";

/**
 * The characters that stand for the bytes 0 to 255 in vocabularies, in the order of CLIP's and
 * GPT-2's ids: printable bytes as themselves, then the others as U+0100 and up.
 */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  const printable = bytes.filter(isPrintable);
  const others = bytes.filter((byte) => !isPrintable(byte)).map((_, i) => 0x100 + i);
  return [...printable, ...others].map((code) => String.fromCharCode(code));
})();

export interface ClipVocabulary {
  /** Ids of all tokens, special tokens included. */
  readonly vocab: Readonly<Record<string, number>>;
  /** Pairs in the order in which they merge. */
  readonly merges: readonly (readonly [string, string])[];
  readonly startToken: string;
  readonly endToken: string;
  /** A token that is only ever padding; without it, the end token is what the files name. */
  readonly padToken?: string;
}

/**
 * Text to words, as a `tokenizer.json` writes it: normal form C, white space collapsed, lower case
 * (unless `normalize` is off, for texts that OpenCLIP's cleaning has gone over), CLIP's words, bytes.
 */
export function clipSplitting({ normalize = true } = {}): Pick<
  TokenizerJson,
  'normalizer' | 'pre_tokenizer'
> {
  return {
    normalizer: normalize
      ? {
          type: 'Sequence',
          normalizers: [
            { type: 'NFC' },
            { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
            { type: 'Lowercase' },
          ],
        }
      : null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: normalize ? WORD : WORD_OF_ANY_CASE },
          behavior: 'Removed',
          invert: true,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
  };
}

/** The `tokenizer.json` and its configuration for a vocabulary of CLIP's kind. */
export function clipFiles(
  { vocab, merges, startToken, endToken, padToken }: ClipVocabulary,
  config: TokenizerFiles['config'] = {},
  splitting = clipSplitting(),
): TokenizerFiles {
  const idOf = (token: string): number => {
    const id = vocab[token];
    if (id === undefined) throw new BantamError(`The vocabulary lacks the token ${token}.`);
    return id;
  };
  const specials = [...(padToken === undefined ? [] : [padToken]), startToken, endToken];
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specials.map((content) => ({
      id: idOf(content),
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    ...splitting,
    post_processor: {
      type: 'TemplateProcessing',
      single: [
        { SpecialToken: { id: startToken, type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: endToken, type_id: 0 } },
      ],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
      special_tokens: Object.fromEntries(
        [startToken, endToken].map((id) => [id, { id, ids: [idOf(id)], tokens: [id] }]),
      ),
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: endToken,
      continuing_subword_prefix: '',
      end_of_word_suffix: END_OF_WORD,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges: merges.map(([left, right]) => [left, right]),
    },
  };
  return {
    tokenizer,
    config: {
      ...config,
      tokenizer_class: 'PreTrainedTokenizerFast',
      bos_token: startToken,
      eos_token: endToken,
      unk_token: endToken,
      pad_token: padToken ?? endToken,
      padding_side: 'right',
      clean_up_tokenization_spaces: false,
    } as TokenizerFiles['config'],
  };
}

export interface ClipTokenizerOptions {
  /**
   * `bpe_simple_vocab_16e6.txt.gz`, the same unpacked, or Hugging Face's `merges.txt`. Default: CLIP's own
   * merges, which Bantam carries.
   */
  readonly mergesFile?: string;
  /** `vocab.json` for ids of its own; without it, ids follow from the order of the merges. */
  readonly vocabFile?: string;
  readonly contextLength?: number;
}

/** CLIP's merges, as `fixtures/generate_clip_vocabulary.py` takes them from OpenCLIP. */
const OWN_MERGES = fileURLToPath(new URL('../../assets/clip-merges.txt.gz', import.meta.url));

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
        `Line ${i + 2} of ${file} is not a pair of tokens; give bpe_simple_vocab_16e6.txt.gz or merges.txt.`,
      );
    }
    return [left, right];
  });
}

/** Ids as CLIP numbers them: bytes, bytes that end a word, merges, start and end of text. */
function numberTokens(merges: readonly [string, string][]): Record<string, number> {
  const tokens = [
    ...BYTE_CHARACTERS,
    ...BYTE_CHARACTERS.map((character) => character + END_OF_WORD),
    ...merges.map(([left, right]) => left + right),
    START,
    END,
  ];
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

async function readVocabulary(file: string): Promise<Record<string, number>> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw new BantamError(`The vocabulary ${file} cannot be read; give CLIP's vocab.json.`);
  });
  const vocab = JSON.parse(text) as Record<string, number>;
  return Object.fromEntries(Object.entries(vocab).map(([k, id]) => [HUB_NAMES[k] ?? k, id]));
}

/**
 * OpenAI CLIP's tokenizer (Radford et al., 2021), from its vocabulary, with the cleaning of
 * OpenCLIP 3.3 ({@link cleanText} with `lower`): ids equal those of `open_clip.SimpleTokenizer`
 * wherever {@link fixText} equals ftfy. Rows are padded with id 0, which also means `!`: masks must
 * go by the position of the end token (49407), never by the id.
 *
 * @returns a tokenizer with 49 408 ids if the files are complete
 * @throws BantamError if a file is missing or of another kind
 */
export async function clipTokenizer({
  mergesFile = OWN_MERGES,
  vocabFile,
  contextLength = clipContextLength,
}: ClipTokenizerOptions = {}): Promise<Tokenizer> {
  const merges = await readMerges(mergesFile);
  const vocab = vocabFile === undefined ? numberTokens(merges) : await readVocabulary(vocabFile);
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
  return new FileTokenizer(files, { contextLength, clean: 'lower' });
}
