import { BantamError } from '../base/errors.js';
import { cleanText, type Cleaning } from './clean.js';
import { correctForHub, Hub } from './hub.js';
import { TextCache } from './text-cache.js';
import { checkId, tokenName, type SpecialToken, type TokenizerFiles } from './tokenizer-json.js';
import type { EncodeBatchOptions, EncodedBatch, TextCodec } from './tokenizer.js';

/** Ids before and after the text's own, as the post-processor adds them. */
interface Frame {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** Finds out what the post-processor adds, by encoding a probe with it and without. */
function findFrame(hub: Hub): Frame {
  const full = hub.encode('a').ids;
  const own = hub.encode('a', { add_special_tokens: false }).ids;
  const start = full.findIndex((_, i) => own.every((id, j) => full[i + j] === id));
  if (start < 0) return { before: [], after: [] };
  return { before: full.slice(0, start), after: full.slice(start + own.length) };
}

export interface HubTokenizerOptions {
  readonly contextLength: number;
  readonly clean: Cleaning;
}

/**
 * A tokenizer of Hugging Face's kinds, computed by their JavaScript library, with OpenCLIP's
 * cleaning before it and CLIP's cutting and padding after it.
 */
export class HubTokenizer implements TextCodec {
  readonly contextLength: number;
  readonly vocabSize: number;
  readonly sotId: number;
  readonly eotId: number;
  readonly padId: number;
  readonly #hub: Hub;
  readonly #files: TokenizerFiles;
  readonly #clean: Cleaning;
  readonly #frame: Frame;
  readonly #cache = new TextCache<BigInt64Array>();

  constructor(files: TokenizerFiles, { contextLength, clean }: HubTokenizerOptions) {
    const { tokenizer, config } = files;
    this.#files = files;
    this.#hub = new Hub(correctForHub(tokenizer), {
      ...config,
      clean_up_tokenization_spaces: false,
    });
    this.#clean = clean;
    this.#frame = findFrame(this.#hub);
    const room = this.#frame.before.length + this.#frame.after.length;
    if (!Number.isInteger(contextLength) || contextLength <= room) {
      throw new BantamError(
        `A context of ${contextLength} ids has no room for text beside ${room} special ones; give a larger contextLength.`,
      );
    }
    this.contextLength = contextLength;
    this.vocabSize =
      1 +
      [...this.#hub.get_vocab()].reduce(
        (most, [token, id]) => Math.max(most, checkId(id, JSON.stringify(token))),
        -1,
      );
    const idOf = (...keys: SpecialToken[]): number | undefined => {
      const name = keys.map((key) => tokenName(config[key])).find((token) => token !== undefined);
      return name === undefined ? undefined : this.#hub.token_to_id(name);
    };
    this.sotId = this.#frame.before[0] ?? idOf('bos_token', 'cls_token') ?? -1;
    this.eotId = this.#frame.after.at(-1) ?? idOf('eos_token', 'sep_token') ?? -1;
    this.padId = checkId(
      config.bantam?.pad_id ?? idOf('pad_token') ?? tokenizer.padding?.pad_id ?? 0,
      'padding',
    );
  }

  encode(text: string): number[] {
    return Array.from(this.#encoded(text), Number);
  }

  encodeBatch(
    texts: readonly string[],
    { length = 'longest' }: EncodeBatchOptions = {},
  ): EncodedBatch {
    const rows = texts.map((text) => this.#encoded(text));
    const columns =
      length === 'context'
        ? this.contextLength
        : rows.reduce((longest, row) => Math.max(longest, row.length), 0);
    const ids = new BigInt64Array(rows.length * columns).fill(BigInt(this.padId));
    rows.forEach((row, i) => {
      ids.set(row, i * columns);
    });
    return { ids, shape: [rows.length, columns] };
  }

  decode(ids: Iterable<number | bigint>): string {
    const list = Array.from(ids, Number).filter((id) => id !== this.padId);
    return list.length === 0 ? '' : this.#hub.decode(list, { skip_special_tokens: true });
  }

  /** The files that this tokenizer can be read from again, with its own length and cleaning. */
  get files(): TokenizerFiles {
    const { tokenizer, config } = this.#files;
    const bantam = { ...config.bantam, clean: this.#clean };
    return { tokenizer, config: { ...config, model_max_length: this.contextLength, bantam } };
  }

  #encoded(text: string): BigInt64Array {
    const known = this.#cache.get(text);
    if (known !== undefined) return known;
    const { before, after } = this.#frame;
    const room = this.contextLength - before.length - after.length;
    const own = this.#hub
      .encode(cleanText(text, this.#clean), { add_special_tokens: false })
      .ids.slice(0, room);
    const ids = BigInt64Array.from([...before, ...own, ...after], (id) =>
      BigInt(checkId(id, 'a part of a text')),
    );
    this.#cache.set(text, ids);
    return ids;
  }
}

/** OpenCLIP's default. */
const DEFAULT_CONTEXT = 77;
/** Hugging Face writes 1e30 for "no limit"; no text tower has a context beyond this. */
const LONGEST_CONTEXT = 1 << 20;

/** Context length and cleaning of the files, or those given in their place. */
export function settingsOf(
  { tokenizer, config }: TokenizerFiles,
  given: Partial<HubTokenizerOptions> = {},
): HubTokenizerOptions {
  const stored = tokenizer.truncation?.max_length ?? config.model_max_length ?? DEFAULT_CONTEXT;
  return {
    contextLength: given.contextLength ?? (stored < LONGEST_CONTEXT ? stored : DEFAULT_CONTEXT),
    clean: given.clean ?? config.bantam?.clean ?? 'none',
  };
}
