import { BantamError } from '../base/errors.js';
import { causeOf } from '../base/system-error.js';
import type { Cleaning } from './clean.js';
import { FramedTokenizer, settingsOf } from './framed-tokenizer.js';
import type { SentencePieceWrapper } from './sentencepiece/wrappers.js';
import { readTokenizerFiles, writeTokenizerFiles } from './tokenizer-files.js';
import type { Tokenizer } from './tokenizer.js';

/** A {@link FramedTokenizer} that writes its files. */
export class FileTokenizer extends FramedTokenizer implements Tokenizer {
  save(directory: string): Promise<void> {
    return writeTokenizerFiles(directory, this.files);
  }
}

export interface LoadTokenizerOptions {
  /** Default: what the files say (`truncation.max_length`, then `model_max_length`), else 77. */
  readonly contextLength?: number;
  /** Cleaning of texts. Default: that of the files, see {@link cleaningByFiles}. */
  readonly clean?: Cleaning;
  /**
   * Special ids around those of a `.model` file. Default: by `tokenizer_config.json` beside it, else
   * by its name: `xlm-roberta` for `sentencepiece.bpe.model`, `t5` for others.
   */
  readonly wrapper?: SentencePieceWrapper;
}

/**
 * Loads a tokenizer: Hugging Face's `tokenizer.json`, or a directory that holds one, with the
 * special tokens that `tokenizer_config.json` and `special_tokens_map.json` beside it name; or a
 * `.model` file of SentencePiece, unigram or BPE, or a directory that holds one and no
 * `tokenizer.json`.
 *
 * Ids of a `.model` file equal those of Python's `sentencepiece`. Ids of a `tokenizer.json` equal those of Python's `tokenizers` for byte-level BPE (CLIP's and GPT-2's kind), WordPiece
 * and BPE over a metaspace; docs/tokenizers.md has the measurements, and the exceptions. For a text
 * tower of OpenCLIP that names an `hf_tokenizer_name`, pass its `clean` (default `'whitespace'`),
 * as OpenCLIP cleans texts before it hands them over.
 *
 * @param path - the file or the directory
 * @throws BantamError if the files are missing, damaged or of a kind that is not known
 */
export async function loadTokenizer(
  path: string,
  options: LoadTokenizerOptions = {},
): Promise<Tokenizer> {
  const files = await readTokenizerFiles(path, options.wrapper);
  try {
    return new FileTokenizer(files, settingsOf(files, options));
  } catch (error) {
    if (error instanceof BantamError) throw error;
    const reason = causeOf(error);
    throw new BantamError(
      `The tokenizer in ${path} is of a kind that cannot be read (${reason}); save it with a current version of Hugging Face's tokenizers.`,
    );
  }
}
