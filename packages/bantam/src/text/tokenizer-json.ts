import { BantamError } from '../base/errors.js';
import type { Cleaning } from './clean.js';
import { sentencePieceWrappers, type SentencePieceWrapper } from './sentencepiece/wrappers.js';

/** The parts of Hugging Face's `tokenizer.json` that are read here; the library reads the rest. */
export interface TokenizerJson {
  readonly truncation?: { readonly max_length: number } | null;
  readonly padding?: { readonly pad_id: number } | null;
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
  readonly normalizer: object | null;
  readonly pre_tokenizer: object | null;
  readonly post_processor: object | null;
  readonly decoder: object | null;
  readonly model: object;
}

type TokenName = string | { readonly content: string } | null;

/** Roles of special tokens. */
export type SpecialToken = 'bos_token' | 'cls_token' | 'eos_token' | 'sep_token' | 'pad_token';

/** The parts of `tokenizer_config.json` and `special_tokens_map.json` that are read here. */
export interface TokenizerConfig extends Readonly<Partial<Record<SpecialToken, TokenName>>> {
  readonly model_max_length?: number;
  /** Bantam's own settings; other readers ignore them. */
  readonly bantam?: {
    readonly clean?: Cleaning;
    readonly pad_id?: number;
    /** The tokenizer is the `.model` file beside these files, wrapped so. */
    readonly sentencepiece?: SentencePieceWrapper;
  };
  /** The class that loads the tokenizer in Python. */
  readonly tokenizer_class?: unknown;
  readonly do_lower_case?: unknown;
}

/**
 * How texts are cleaned before a tokenizer, by its files: as they note if Bantam wrote them, else as its
 * class in `transformers` does. SigLIP's removes punctuation and capitals, SigLIP 2's (its own class, or
 * Gemma's with `do_lower_case`) lowers letters, the others change nothing.
 */
export function cleaningByFiles({
  bantam,
  tokenizer_class: name,
  do_lower_case: lower,
}: TokenizerConfig): Cleaning {
  if (bantam?.clean !== undefined) return bantam.clean;
  const kind = String(name);
  if (kind.startsWith('Siglip2Tokenizer')) return 'lower';
  if (kind.startsWith('GemmaTokenizer') && lower === true) return 'lower';
  return kind.startsWith('SiglipTokenizer') ? 'canonicalize' : 'none';
}

/** A tokenizer's files. */
export interface TokenizerFiles {
  readonly tokenizer: TokenizerJson;
  readonly config: TokenizerConfig;
  /** A `.model` file of SentencePiece, from which the tokenizer is computed if there is one. */
  readonly sentencepiece?: { readonly bytes: Uint8Array; readonly file: string };
}

/** The text of a special token, which the files write in two ways. */
export function tokenName(token: TokenName | undefined): string | undefined {
  return typeof token === 'object' ? token?.content : token;
}

/** Larger ids are no rows of an embedding, but signs of a damaged file; the library makes a list of all. */
const LARGEST_ID = 2 ** 24 - 1;

/** An id as the files must have it. */
export function checkId(id: unknown, token: string): number {
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id <= LARGEST_ID) return id;
  throw new BantamError(
    `The tokenizer gives ${token} the id ${String(id)}, which is no whole number from 0 to ${LARGEST_ID}; fetch its tokenizer.json again.`,
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The wrapper of the `.model` file that a `tokenizer_config.json` names as the tokenizer; undefined:
 * it names none.
 *
 * @throws BantamError if there is no such wrapper
 */
export function wrapperOf(config: unknown): SentencePieceWrapper | undefined {
  const bantam = isRecord(config) ? config.bantam : undefined;
  const name = isRecord(bantam) ? bantam.sentencepiece : undefined;
  if (name === undefined) return undefined;
  const wrapper = sentencePieceWrappers.find((known) => known === name);
  if (wrapper !== undefined) return wrapper;
  throw new BantamError(
    `"sentencepiece" of "bantam" in tokenizer_config.json is ${JSON.stringify(name)}, which is none of ${sentencePieceWrappers.join(', ')}.`,
  );
}

/** Checks the ids of all tokens, before the library sees them. */
function checkIds(file: string, { added_tokens: added = [], model }: Partial<TokenizerJson>): void {
  if (!Array.isArray(added) || !added.every(isRecord)) {
    throw new BantamError(`The "added_tokens" of ${file} are no list of tokens; fetch it again.`);
  }
  for (const { id, content } of added) checkId(id, JSON.stringify(content));
  // The vocabulary of Unigram is a list, whose order gives the ids.
  const vocab = isRecord(model) ? model.vocab : undefined;
  if (isRecord(vocab)) {
    for (const [token, id] of Object.entries(vocab)) checkId(id, JSON.stringify(token));
  }
}

/** The `.model` file that is written beside a `tokenizer.json`. */
export const SENTENCEPIECE_FILE = 'spiece.model';

/** Parsed contents of a tokenizer's files; undefined for those that are not there. */
export interface TokenizerDocuments {
  /** Name of the `tokenizer.json`, for errors. */
  readonly file: string;
  readonly tokenizer: unknown;
  /** `special_tokens_map.json` */
  readonly specials?: unknown;
  /** `tokenizer_config.json`, which wins where both name a token. */
  readonly config?: unknown;
  /** `spiece.model`, if `tokenizer_config.json` says that it is the tokenizer. */
  readonly sentencepiece?: Uint8Array | undefined;
}

/**
 * A tokenizer's files from what they hold.
 *
 * @throws BantamError if the `tokenizer.json` is something else under its name
 */
export function parseTokenizerFiles({
  file,
  tokenizer,
  specials,
  config,
  sentencepiece,
}: TokenizerDocuments): TokenizerFiles {
  const model = isRecord(tokenizer) ? tokenizer.model : undefined;
  if (!isRecord(tokenizer) || !isRecord(model)) {
    throw new BantamError(`${file} has no "model"; it is not a Hugging Face tokenizer.json.`);
  }
  checkIds(file, tokenizer);
  return {
    tokenizer: {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      ...tokenizer,
      model,
    },
    config: { ...(isRecord(specials) && specials), ...(isRecord(config) && config) },
    ...(sentencepiece !== undefined && {
      sentencepiece: { bytes: sentencepiece, file: SENTENCEPIECE_FILE },
    }),
  };
}
