import {
  LayerNorm,
  matmul,
  Module,
  normalInit,
  Parameter,
  zeros,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import type { KeysAndValues } from '../../blocks/cross-attention.js';
import { CrossAttentionBlock } from './cross-attention-block.js';
import type { KeyValueCache } from '../../blocks/key-value-cache.js';
import { runBlock } from '../../blocks/run-block.js';
import { ResidualBlock } from '../../blocks/transformer.js';
import { initBlock } from '../text/text-transformer.js';
import { decoderBlocks, type DecoderConfig } from './decoder-config.js';

/** Options of {@link MultimodalDecoder}. */
export interface MultimodalDecoderOptions {
  config: DecoderConfig;
  /** Length of a token's vector, of the text and of the picture. */
  width: number;
  vocabSize: number;
  quickGelu: boolean;
  /** Draws the initial weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** A block on the text and the one that reads the picture, with their place. */
interface DecoderLayer {
  readonly block: ResidualBlock;
  readonly cross: CrossAttentionBlock;
  readonly layer: number;
}

/**
 * CoCa's multimodal decoder (Yu et al. 2022, section 3.2): from the vectors of a text's tokens and of a
 * picture's, logits of the token that follows each. A layer is a causal block on the text, then a
 * block whose tokens attend to the picture. Weights start as those of CLIP's text tower, in its
 * cross-attention too: OpenCLIP has these draws written down, but leaves PyTorch's, and the last
 * projection without any.
 */
export class MultimodalDecoder extends Module {
  resblocks: ResidualBlock[];
  crossAttn: CrossAttentionBlock[];
  lnFinal: LayerNorm;
  textProjection: Parameter;
  readonly heads: number;

  constructor({ config, width, vocabSize, quickGelu, generator }: MultimodalDecoderOptions) {
    super();
    const { layers, heads } = config;
    const blocks = { config: decoderBlocks(config, width), heads, quickGelu, generator };
    this.heads = heads;
    this.resblocks = Array.from({ length: layers }, (_, i) => new ResidualBlock(blocks, i));
    this.crossAttn = Array.from({ length: layers }, () => new CrossAttentionBlock(blocks));
    this.lnFinal = new LayerNorm({ width });
    this.textProjection = new Parameter(zeros([width, vocabSize]));
    for (const block of [...this.resblocks, ...this.crossAttn]) {
      initBlock(block, { width, layers }, generator);
    }
    normalInit(this.textProjection, generator, { std: width ** -0.5 });
  }

  /** Tokens of texts [B, L, W] and of pictures [B, M, W] → logits [B, L, vocabSize]. */
  forward(text: Tensor, image: Tensor): Tensor {
    const hidden = this.#layers(text, image, ({ block, cross }, x, image) =>
      cross.forward(block.forward(x, { causal: true }), cross.read(image)),
    );
    return this.#predict(hidden);
  }

  /** What the layers read of pictures' tokens [B, M, W], for {@link step}. */
  read(image: Tensor): KeysAndValues[] {
    return this.crossAttn.map((block) => block.read(image));
  }

  /**
   * {@link forward} for one further token of each text, [B·n, 1, W], n texts in a row for each of the
   * B pictures that were read; a cache for each layer.
   */
  step(text: Tensor, image: readonly KeysAndValues[], caches: readonly KeyValueCache[]): Tensor {
    const hidden = this.#layers(text, image, ({ block, cross, layer }, x, image) => {
      const [cache, context] = [caches[layer], image[layer]];
      if (cache === undefined || context === undefined) throw new RangeError('A layer is missing.');
      return cross.forward(block.step(x, cache), context);
    });
    return this.#predict(hidden);
  }

  /** Runs the layers; `image` is what each of them gets beside the text. */
  #layers<Image>(
    text: Tensor,
    image: Image,
    body: (layer: DecoderLayer, x: Tensor, image: Image) => Tensor,
  ): Tensor {
    return this.resblocks.reduce((x, block, layer) => {
      const cross = this.crossAttn[layer];
      if (cross === undefined) throw new RangeError('A layer is missing.');
      const run = (x: Tensor, image: Image): Tensor => body({ block, cross, layer }, x, image);
      return runBlock(run, x, image);
    }, text);
  }

  #predict(hidden: Tensor): Tensor {
    return matmul(this.lnFinal.forward(hidden), this.textProjection);
  }
}
