import {
  add,
  arange,
  mul,
  reshape,
  select,
  tensor,
  unsqueeze,
  type Device,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { KeyValueCache, type KeysAndValues } from '../blocks/attention.js';
import type { Clip } from '../clip.js';
import type { MultimodalDecoder } from '../towers/decoder/multimodal-decoder.js';
import { TextTransformer } from '../towers/text/text-transformer.js';

/** Options of {@link CaptionWriter}. */
export interface CaptionWriterOptions {
  /** The most tokens of a caption. */
  readonly maxTokens: number;
}

/**
 * Captions that grow token by token (CoCa, Yu et al. 2022, section 3.2). The keys and values of
 * earlier tokens are kept, and those of the image are computed once for all its captions.
 */
export class CaptionWriter implements Disposable {
  /** Device of the ids. */
  readonly device: Device;
  readonly #text: TextTransformer;
  readonly #decoder: MultimodalDecoder;
  readonly #image: readonly KeysAndValues[];
  readonly #textCaches: readonly KeyValueCache[];
  readonly #decoderCaches: readonly KeyValueCache[];

  /**
   * @param pixels - Normalised, [B, 3, S, S]
   * @throws BantamError if the model has no decoder, or pixels or tokens do not fit it.
   */
  constructor(model: Clip, pixels: Tensor, { maxTokens }: CaptionWriterOptions) {
    const { text, textDecoder } = model;
    if (textDecoder === null || !(text instanceof TextTransformer)) {
      throw new BantamError(
        'The model has no decoder, so it cannot write captions; take a CoCa model, such as one that was trained from the preset "coca_ViT-Nano-16-64".',
      );
    }
    const { contextLength } = text.config;
    if (maxTokens > contextLength) {
      throw new BantamError(
        `Captions of up to ${maxTokens} tokens do not fit the model's context of ${contextLength}; ask for fewer.`,
      );
    }
    const { tokens } = model.visual.encode(pixels, { tokens: true });
    if (tokens === null) throw new RangeError('The image tower gave no tokens.');
    this.device = tokens.device;
    this.#text = text;
    this.#decoder = textDecoder;
    this.#image = textDecoder.read(tokens);
    const caches = (layers: readonly unknown[]) =>
      layers.map(() => new KeyValueCache({ length: maxTokens }));
    this.#textCaches = caches(text.transformer.resblocks);
    this.#decoderCaches = caches(textDecoder.resblocks);
  }

  /**
   * Logits [B·n, vocabSize] of the token that follows, for n captions in a row of each image.
   *
   * @param ids - int64 [B·n, L], one token longer than the last time; the first time L is 1
   */
  next(ids: Tensor): Tensor {
    const token = this.#text.step(ids, this.#textCaches);
    return select(this.#decoder.step(token, this.#image, this.#decoderCaches), 1, 0);
  }

  /** Replaces the captions by those of `rows` [B·n] among them. */
  reorder(rows: readonly number[]): void {
    const { device } = this;
    const sources = unsqueeze(tensor(rows, { dtype: 'int64', device }), 1);
    const reorder = (caches: readonly KeyValueCache[], heads: number) => {
      const all = reshape(add(mul(sources, heads), arange(heads, { device })), [-1]);
      for (const cache of caches) cache.reorder(all);
    };
    reorder(this.#textCaches, this.#text.config.heads);
    reorder(this.#decoderCaches, this.#decoder.heads);
  }

  [Symbol.dispose](): void {
    for (const cache of [...this.#textCaches, ...this.#decoderCaches]) cache[Symbol.dispose]();
  }
}
