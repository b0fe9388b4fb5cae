/** Files of tokenizers, which are fetched where a repository has them. */
const tokenizers = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'vocab.json',
  'merges.txt',
  // The tokenizer itself, where Bantam wrote the files.
  'spiece.model',
];

/** Files of SentencePiece, which are not needed beside a `tokenizer.json`. */
const sentencePieceModels = ['sentencepiece.bpe.model', 'tokenizer.model', 'sentencepiece.model'];

interface Layout {
  readonly config: string;
  /** Further files, if there are any. */
  readonly others: readonly string[];
  /** Names of the weights, the best first. */
  readonly weights: readonly string[];
}

const layouts: readonly Layout[] = [
  {
    config: 'open_clip_config.json',
    others: ['bantam.json'],
    weights: [
      'open_clip_model.safetensors',
      'open_clip_pytorch_model.safetensors',
      'open_clip_pytorch_model.bin',
    ],
  },
  {
    config: 'config.json',
    others: ['preprocessor_config.json', 'processor_config.json'],
    weights: ['model.safetensors', 'pytorch_model.bin'],
  },
  {
    config: 'adapter_config.json',
    others: ['open_clip_config.json', 'bantam.json'],
    weights: ['adapter_model.safetensors', 'adapter_model.bin'],
  },
];

const endings = /\.(safetensors|pt|pth|bin)$/;

/** Files of a model, in the order in which they are fetched: the weights last. */
export interface ModelFileList {
  /** Configuration and tokenizer. */
  readonly small: readonly string[];
  /** The weights, or the index of their parts. */
  readonly weights: string;
  /** True if there is a configuration. */
  readonly described: boolean;
}

/**
 * Chooses what to fetch of a repository: OpenCLIP's files if it has them, else Hugging Face's, else PEFT's, else a
 * single file of weights such as OpenAI's.
 *
 * @param file - The weights' file, if it is known
 * @returns null if there are no weights.
 */
export function chooseFiles(files: readonly string[], file?: string): ModelFileList | null {
  const has = (name: string): boolean => files.includes(name);
  const texts = [...tokenizers, ...(has('tokenizer.json') ? [] : sentencePieceModels)].filter(has);
  for (const { config, others, weights } of layouts) {
    const found = weights.flatMap((name) => [name, `${name}.index.json`]).find(has);
    const chosen = file === undefined ? found : has(file) ? safer(file, files) : undefined;
    if (!has(config) || chosen === undefined) continue;
    const small = [...[config, ...others].filter(has), ...texts];
    return { small, weights: chosen, described: true };
  }
  const [only, another] =
    file === undefined ? files.filter((name) => endings.test(name)) : [safer(file, files)];
  if (only === undefined || another !== undefined || !has(only)) return null;
  return { small: texts, weights: only, described: false };
}

/** The safetensors file of the same name, if there is one, as in OpenCLIP. */
function safer(file: string, files: readonly string[]): string {
  const name = file.replace(/\.(bin|pth)$/, '.safetensors');
  return files.includes(name) ? name : file;
}
