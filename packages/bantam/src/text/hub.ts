import * as library from '@huggingface/tokenizers';

/** What is used of a tokenizer of Hugging Face's JavaScript library. */
export interface Hub {
  readonly normalizer: { normalize(text: string): string } | null;
  readonly pre_tokenizer: { pre_tokenize(text: string): string[] } | null;
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[] };
  decode(ids: readonly number[], options?: { skip_special_tokens?: boolean }): string;
  token_to_id(token: string): number | undefined;
  get_vocab(): Map<string, number>;
}

/** A `tokenizer.json` and its configuration, made to work. */
export type HubConstructor = new (tokenizer: object, config: object) => Hub;

// The library's own declarations import each other without file extensions, which the module
// resolution of Node does not accept.
export const Hub = (library as unknown as { Tokenizer: HubConstructor }).Tokenizer;
