import {
  FramedTokenizer,
  parseTokenizerFiles,
  SENTENCEPIECE_FILE,
  wrapperOf,
  type TextCodec,
} from 'bantam/portable';
import { fetchBytes, fetchJson } from './fetch-files.js';
import { parseManifest, type Manifest } from './manifest.js';

/** An exported model, without its graphs. */
export interface ModelFiles {
  readonly manifest: Manifest;
  readonly tokenizer: TextCodec;
}

/** Reads what a model's folder holds beside its graphs. */
export async function readModelFiles(base: URL): Promise<ModelFiles> {
  const json = (name: string): Promise<unknown> => fetchJson(new URL(name, base));
  const [document, tokenizer, config] = await Promise.all([
    json('bantam.json'),
    json('tokenizer.json'),
    json('tokenizer_config.json'),
  ]);
  const manifest = parseManifest(document, new URL('bantam.json', base).href);
  const sentencepiece =
    wrapperOf(config) === undefined
      ? undefined
      : await fetchBytes(new URL(SENTENCEPIECE_FILE, base));
  return { manifest, tokenizer: makeTokenizer({ manifest, tokenizer, config, sentencepiece }) };
}

/** The tokenizer as the manifest wants it, whatever its own files say beside. */
export function makeTokenizer({
  manifest,
  tokenizer,
  config,
  sentencepiece,
}: {
  readonly manifest: Pick<Manifest, 'tokenizer'>;
  readonly tokenizer: unknown;
  readonly config: unknown;
  /** `spiece.model`, where the configuration says that it is the tokenizer. */
  readonly sentencepiece?: Uint8Array | undefined;
}): TextCodec {
  const files = parseTokenizerFiles({ file: 'tokenizer.json', tokenizer, config, sentencepiece });
  const { clean, contextLength, padId } = manifest.tokenizer;
  const bantam = { ...files.config.bantam, clean, pad_id: padId };
  return new FramedTokenizer(
    { ...files, config: { ...files.config, bantam } },
    { clean, contextLength },
  );
}
