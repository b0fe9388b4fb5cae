import {
  at,
  LayerNorm,
  matmul,
  Mlp,
  Module,
  normalInit,
  Parameter,
  zeros,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../../base/errors.js';
import { count, group, positive, setting } from '../../../base/schema.js';
import { attendFlops, type KeysAndValues, type KeyValueCache } from '../../blocks/attention.js';
import { CrossAttention } from '../../blocks/cross-attention.js';
import {
  activationOf,
  addResidual,
  initBlock,
  LayerScale,
  ResidualBlock,
  type TransformerOptions,
} from '../../blocks/residual-block.js';
import { runBlock } from '../../blocks/run-block.js';
import {
  isPlain,
  mlpWidth,
  plainBlocks,
  transformerFlops,
  type TransformerConfig,
} from '../../blocks/transformer-config.js';
import type { TextConfig, VisionConfig } from '../../towers.js';
import { gridSize } from '../../blocks/patches.js';
import { isTextTransformer } from '../text/text-transformer.js';

/**
 * Settings of a captioning model's decoder: those of OpenCLIP's `multimodal_cfg` that have an
 * effect. Width, context and vocabulary are the text tower's.
 */
export const decoderSchema = group({
  layers: setting(
    count(),
    12,
    'Layers, each a block that attends to the text and one that attends to the image.',
  ),
  heads: setting(count(), 8, 'Number of attention heads.'),
  lsInitValue: setting(
    v.nullable(positive()),
    null,
    'Initial layer scale (Touvron et al. 2021, eq. 2); null: no layer scale.',
  ),
});

/** The decoder of a captioning model (CoCa, Yu et al. 2022, section 3.2). */
export type DecoderConfig = Readonly<v.InferOutput<typeof decoderSchema>>;

/** Settings of the decoder's blocks: in OpenCLIP MLPs are always four times as wide. */
export function decoderBlocks(
  { layers, lsInitValue }: DecoderConfig,
  width: number,
): TransformerConfig {
  return {
    ...plainBlocks,
    width,
    layers,
    lsInitValue,
    mlpRatio: 4,
    normEps: 1e-5,
    geluTanh: false,
  };
}

/** The parts of a model that a decoder depends on. */
interface DecodedModel {
  readonly embedDim: number;
  readonly customText: boolean;
  readonly vision: VisionConfig;
  readonly text: TextConfig;
  readonly decoder: DecoderConfig | null;
}

/** Number and length of an image's tokens; 0 for towers that OpenCLIP has no decoder for. */
export function imageTokens({ embedDim, vision }: Pick<DecodedModel, 'embedDim' | 'vision'>): {
  count: number;
  width: number;
} {
  if (vision.type !== 'vit') return { count: 0, width: 0 };
  const { attentionalPool, attnPoolerQueries, width } = vision;
  if (attentionalPool === false) return { count: gridSize(vision) ** 2, width };
  const count = attentionalPool === true ? attnPoolerQueries - 1 : attnPoolerQueries;
  return { count, width: embedDim };
}

/** @throws BantamError if such a decoder does not fit the model. */
export function checkDecoder({ decoder, ...model }: DecodedModel): void {
  if (decoder === null) return;
  const { customText, text, vision } = model;
  if (!customText) {
    throw new BantamError(
      'A model with a "decoder" keeps its text parameters under "text."; set "customText" to true.',
    );
  }
  if (vision.type !== 'vit') {
    throw new BantamError(
      `A "decoder" reads the tokens of a "vision" of type "vit", not "${vision.type}"; choose that, or set "decoder" to null.`,
    );
  }
  if (!isTextTransformer(text) || text.noCausalMask || !isPlain(text)) {
    throw new BantamError(
      'A "decoder" needs a "text" of type "transformer" with a causal mask and plain blocks; set them so, or "decoder" to null.',
    );
  }
  const { count, width } = imageTokens(model);
  if (width !== text.width) {
    throw new BantamError(
      `The "decoder" is as wide as "text" (${text.width}), but the image's tokens have a width of ${width}; make the two equal.`,
    );
  }
  if (count < 1) {
    throw new BantamError(
      'The "decoder" has no token of the image to read; set "attnPoolerQueries" of "vision" to more than 1.',
    );
  }
  if (width % decoder.heads !== 0) {
    throw new BantamError(
      `"width" of "text" (${width}) must be a multiple of "heads" of "decoder" (${decoder.heads}).`,
    );
  }
}

/** Sizes that {@link decoderFlops} depends on. */
export interface DecoderSizes {
  width: number;
  vocabSize: number;
  /** Tokens of the text, and of the image. */
  tokens: number;
  imageTokens: number;
}

/** FLOPs of the decoder for one caption of n tokens and an image of m. */
export function decoderFlops(
  config: DecoderConfig,
  { width, vocabSize, tokens, imageTokens }: DecoderSizes,
): number {
  const self = transformerFlops(decoderBlocks(config, width), tokens);
  // Queries, output and MLP for each token of the text, keys and values for each of the image.
  const cross =
    attendFlops({ queries: tokens, tokens: imageTokens, width }) +
    2 * width ** 2 * (10 * tokens + 2 * imageTokens);
  return self + config.layers * cross + 2 * tokens * width * vocabSize;
}

/** Matches the layer in the name of a parameter of the decoder: a layer is two blocks. */
export const decoderLayers = /^(?:resblocks|cross_attn)\.(\d+)\./;

/**
 * A pre-norm residual block whose tokens attend to other vectors of their length:
 * y = x + attention(LN₁x, LN₁ₖᵥm), then y + MLP(LN₂y); each branch is multiplied by its layer scale
 * if there is one. Fields have OpenCLIP's names.
 */
export class CrossAttentionBlock extends Module {
  ln_1: LayerNorm;
  attn: CrossAttention;
  ls_1: LayerScale | null;
  ln_1_kv: LayerNorm;
  ln_2: LayerNorm;
  mlp: Mlp;
  ls_2: LayerScale | null;

  constructor({ config, heads, quickGelu, generator }: TransformerOptions) {
    super();
    const { width, normEps: eps, lsInitValue: value } = config;
    const activation = activationOf(quickGelu, config.geluTanh);
    this.ln_1 = new LayerNorm({ width, eps });
    this.attn = new CrossAttention({ width, contextWidth: width, heads, generator });
    this.ls_1 = value === null ? null : new LayerScale({ width, value });
    this.ln_1_kv = new LayerNorm({ width, eps });
    this.ln_2 = new LayerNorm({ width, eps });
    this.mlp = new Mlp({ width, hidden: mlpWidth(config), activation, generator });
    this.ls_2 = value === null ? null : new LayerScale({ width, value });
  }

  /** Keys and values of the vectors that are attended to, m [B, M, W]. */
  read(context: Tensor): KeysAndValues {
    return this.attn.read(this.ln_1_kv.forward(context));
  }

  /** x [N, L, W] → [N, L, W], with rows matched as in {@link CrossAttention.forward}. */
  forward(x: Tensor, context: KeysAndValues): Tensor {
    const { normed, residual: kept } = this.ln_1.branch(x);
    const y = addResidual(kept, this.ls_1, (residual) =>
      this.attn.forward(normed, context, { residual }),
    );
    const { normed: inner, residual: rest } = this.ln_2.branch(y);
    return addResidual(rest, this.ls_2, (residual) => this.mlp.forward(inner, { residual }));
  }
}

/** Options of {@link MultimodalDecoder}. */
export interface MultimodalDecoderOptions {
  config: DecoderConfig;
  /** Length of a token's vector, of the text and of the image. */
  width: number;
  vocabSize: number;
  quickGelu: boolean;
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** Both blocks of a layer, and its index. */
interface DecoderLayer {
  readonly block: ResidualBlock;
  readonly cross: CrossAttentionBlock;
  readonly layer: number;
}

/**
 * CoCa's multimodal decoder (Yu et al. 2022, section 3.2): from the vectors of a text's and an
 * image's tokens, logits of the token that follows each. A layer is a causal block on the text, then
 * a block whose tokens attend to the image. All weights are initialised as in CLIP's text tower;
 * OpenCLIP's code for that is never called, so that its cross-attention keeps PyTorch's initial
 * weights, and the last projection is uninitialised.
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

  /** Tokens of texts [B, L, W] and of images [B, M, W] → logits [B, L, vocabSize]. */
  forward(text: Tensor, image: Tensor): Tensor {
    const hidden = this.#layers(text, image, ({ block, cross }, x, image) =>
      cross.forward(block.forward(x, { causal: true }), cross.read(image)),
    );
    return this.#predict(hidden);
  }

  /** Keys and values of images' tokens [B, M, W] by layer, for {@link step}. */
  read(image: Tensor): KeysAndValues[] {
    return this.crossAttn.map((block) => block.read(image));
  }

  /**
   * {@link forward} for one further token of each text, [B·n, 1, W], n consecutive texts for each of
   * the B images that were read; a cache for each layer.
   */
  step(text: Tensor, image: readonly KeysAndValues[], caches: readonly KeyValueCache[]): Tensor {
    const hidden = this.#layers(text, image, ({ block, cross, layer }, x, image) =>
      cross.forward(block.step(x, at(caches, layer)), at(image, layer)),
    );
    return this.#predict(hidden);
  }

  /** Runs `body` for each layer in turn. */
  #layers<Image>(
    text: Tensor,
    image: Image,
    body: (layer: DecoderLayer, x: Tensor, image: Image) => Tensor,
  ): Tensor {
    return this.resblocks.reduce((x, block, layer) => {
      const cross = at(this.crossAttn, layer);
      const run = (x: Tensor, image: Image): Tensor => body({ block, cross, layer }, x, image);
      return runBlock(run, x, image);
    }, text);
  }

  #predict(hidden: Tensor): Tensor {
    return matmul(this.lnFinal.forward(hidden), this.textProjection);
  }
}
