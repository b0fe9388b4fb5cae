import {
  add,
  arange,
  argmax,
  cat,
  div,
  embedding,
  Embedding,
  eq,
  expand,
  type Generator,
  LayerNorm,
  le,
  Linear,
  matmul,
  Module,
  mul,
  narrow,
  ne,
  normalInit,
  type Packing,
  packRows,
  pad,
  Parameter,
  select,
  squeeze,
  sum,
  Tensor,
  to,
  unsqueeze,
  zeros,
} from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { count, flag, index, object, oneOf, optional, text } from '../../../base/fields.js';
import type { KeyValueCache } from '../../blocks/attention.js';
import { MixtureOfExperts } from '../../blocks/mixture-of-experts.js';
import { packTexts, type Places, takePlaces } from '../../blocks/sequences.js';
import {
  checkTransformer,
  describeBlocks,
  isPlain,
  type TransformerConfig,
  transformerFields,
  transformerFlops,
} from '../../blocks/transformer-config.js';
import { ResidualBlock, Transformer } from '../../blocks/transformer.js';
import {
  type Encoded,
  requireMultiple,
  sumOf,
  type TextEncodeOptions,
  type TextTower,
  type TextTowerConfig,
  type TextTowerKind,
  type TowerOptions,
} from '../../tower.js';
import type { CrossAttentionBlock } from '../decoder/multimodal-decoder.js';
import { readTransformer, writeTransformer } from '../open-clip-members.js';

/** A text transformer as CLIP has it. */
export interface TextTransformerConfig extends TextTowerConfig, TransformerConfig {
  readonly type: 'transformer';
  /** Number of attention heads. */
  readonly heads: number;
  /**
   * Put a class token behind the text, at the end of the context, whose vector is then the text's (CoCa,
   * Yu et al. 2022, section 3.2), whatever {@link poolType} says. As in OpenCLIP's checkpoints nothing
   * sees what stands behind a {@link padId}: not the padding but its first place, and not the class
   * token but where the text fills the context.
   */
  readonly embedCls: boolean;
  /** Let every token see the tokens after it too. */
  readonly noCausalMask: boolean;
  /**
   * Without a causal mask, let no token see the padding: what lies behind the end of a text, whatever
   * its ids are.
   */
  readonly maskPadding: boolean;
  /**
   * The text's vector: at its highest id, first, last place, or first {@link eosId}, or the mean of
   * all up to its end.
   */
  readonly poolType: 'argmax' | 'first' | 'last' | 'eos' | 'mean';
  /** The end of a text for {@link maskPadding} and `mean`: its highest id, or first {@link eosId}. */
  readonly textEnd: 'argmax' | 'eos';
  /** Id that fills a text up to the context, where pooling or mask depends on it. */
  readonly padId: number;
  /** Id that `eos` looks for. */
  readonly eosId: number;
  /** `none`: the pooled vector is the feature. */
  readonly projType: 'linear' | 'none';
  /** Whether the last projection has a bias. */
  readonly projBias: boolean;
}

/** Whether a text tower is of this kind. */
export function isTextTransformer(config: TextTowerConfig): config is TextTransformerConfig {
  return config.type === 'transformer';
}

/**
 * Whether features depend on the padding behind a text, so that every text must be filled up to
 * the context: without any mask, or pooled at the last place.
 */
export function needsContext({
  embedCls,
  noCausalMask,
  maskPadding,
  poolType,
}: TextTransformerConfig): boolean {
  return !embedCls && ((noCausalMask && !maskPadding) || poolType === 'last');
}

/** How many places a text of so many tokens takes in the blocks. */
export function computedPlaces(config: TextTransformerConfig, tokens: number): number {
  const { contextLength, embedCls } = config;
  if (needsContext(config)) return contextLength;
  // The class token, and the first place of the padding where there is one.
  return embedCls ? Math.min(tokens + 1, contextLength) + 1 : tokens;
}

/** Whether features depend on which id it is that fills texts up. */
export function readsPadding(config: TextTransformerConfig): boolean {
  return config.embedCls || needsContext(config);
}

/** Whether a text's end is told by {@link TextTransformerConfig.eosId}. */
export function looksForEos(config: TextTransformerConfig): boolean {
  const { embedCls, poolType, textEnd, maskPadding } = config;
  if (embedCls) return false;
  return poolType === 'eos' || (textEnd === 'eos' && (maskPadding || poolType === 'mean'));
}

/**
 * CLIP's text tower (Radford et al. 2021, section 2.4): tokens plus positions, causal blocks, layer
 * norm, the vector at the end of the text, projection. Weights start as OpenAI's and OpenCLIP's, those
 * of simplified blocks as these are defined.
 */
export class TextTransformer extends Module implements TextTower {
  tokenEmbedding: Embedding;
  clsEmb: Parameter | null;
  positionalEmbedding: Parameter;
  transformer: Transformer;
  lnFinal: LayerNorm;
  textProjection: Parameter | Linear | null;
  readonly config: TextTransformerConfig;

  constructor({ config, embedDim, quickGelu, generator }: TowerOptions<TextTransformerConfig>) {
    super();
    const { width, vocabSize, contextLength, heads, embedCls } = config;
    this.config = config;
    this.tokenEmbedding = new Embedding({ entries: vocabSize, width, generator: null });
    this.clsEmb = embedCls ? new Parameter(zeros([width])) : null;
    this.positionalEmbedding = new Parameter(zeros([contextLength + Number(embedCls), width]));
    this.transformer = new Transformer({ config, heads, quickGelu, generator });
    this.lnFinal = new LayerNorm({ width, eps: config.normEps });
    this.textProjection = projection(config, embedDim);

    const draw = (weight: Parameter, std: number) => normalInit(weight, generator, { std });
    draw(this.tokenEmbedding.weight, 0.02);
    draw(this.positionalEmbedding, 0.01);
    if (this.clsEmb !== null) draw(this.clsEmb, 0.01);
    initTransformer(this.transformer, config, generator);
    const last = this.textProjection;
    if (last !== null) draw(last instanceof Linear ? last.weight : last, width ** -0.5);
  }

  /**
   * Token ids int64 [B, L] → features [B, embedDim]. L may be anything up to the context: what lies
   * behind the end of a text changes nothing (a tower whose features do depend on it fills texts up
   * to the context itself). Tokens are those behind the last layer norm, but before it where there is
   * a class token, as CoCa's decoder reads them.
   *
   * @throws BantamError when texts are longer than the context.
   */
  encode(ids: Tensor, { tokens = false }: TextEncodeOptions = {}): Encoded {
    const { contextLength, noCausalMask, maskPadding, poolType } = this.config;
    requireContext(ids, contextLength);
    if (this.clsEmb !== null) return this.#encodeWithClass(ids, this.clsEmb, tokens);
    const given = ids.dim(1);
    const filled = this.#fillUp(ids);
    const places = poolType === 'mean' ? undefined : this.#places(filled, poolType);
    const packing = tokens ? undefined : this.#packing(filled, places);
    const auxiliary: Tensor[] = [];
    const y = this.transformer.forward(this.#embed(filled, { packing }), {
      causal: !noCausalMask,
      visible: maskPadding ? this.#isText(filled) : undefined,
      places: tokens ? undefined : places,
      packing,
      auxiliary,
    });
    const normed = this.lnFinal.forward(y);
    return {
      pooled: this.#project(this.#pool(normed, filled, places)),
      tokens: tokens ? narrow(normed, 1, 0, given) : null,
      auxiliaryLoss: sumOf(auxiliary),
    };
  }

  /**
   * The tokens' vectors, as {@link encode} gives them, for one further token of each text alone: ids
   * int64 [N, L] up to and with that token → [N, 1, width]. A cache for each layer holds those before.
   */
  step(ids: Tensor, caches: readonly KeyValueCache[]): Tensor {
    const last = ids.dim(1) - 1;
    const x = this.#embed(narrow(ids, 1, last, 1), { start: last });
    if (this.clsEmb === null) return this.lnFinal.forward(this.transformer.step(x, caches));
    const visible = this.#seen(narrow(ids, 1, 0, last));
    return this.transformer.step(x, caches, visible);
  }

  #encodeWithClass(ids: Tensor, cls: Parameter, tokens: boolean): Encoded {
    const { contextLength, noCausalMask, padId, width } = this.config;
    const given = ids.dim(1);
    // The class token sees the first place of the padding, which the longest text has too.
    const filled = given < contextLength ? pad(ids, [0, 1], padId) : ids;
    const length = filled.dim(1);
    const last = add(cls, select(this.positionalEmbedding, 0, contextLength));
    const x = cat([this.#embed(filled), expand(last, [ids.dim(0), 1, width])], 1);
    const auxiliary: Tensor[] = [];
    const y = this.transformer.forward(x, {
      causal: !noCausalMask,
      visible: this.#seen(filled),
      places: tokens ? undefined : length,
      auxiliary,
    });
    const pooled = tokens ? narrow(y, 1, length, 1) : y;
    return {
      pooled: this.#project(squeeze(this.lnFinal.forward(pooled), 1)),
      tokens: tokens ? narrow(y, 1, 0, given) : null,
      auxiliaryLoss: sumOf(auxiliary),
    };
  }

  /** Vectors of tokens [B, L] that stand behind `start` others: [B, L, W], or packed [T, W]. */
  #embed(
    ids: Tensor,
    { start = 0, packing }: { start?: number; packing?: Packing | undefined } = {},
  ): Tensor {
    if (packing === undefined) {
      const positions = narrow(this.positionalEmbedding, 0, start, ids.dim(1));
      return add(this.tokenEmbedding.forward(ids), positions);
    }
    const places = packRows(expand(arange(ids.dim(1)), [...ids.shape]), packing);
    const tokens = this.tokenEmbedding.forward(packRows(ids, packing));
    return add(tokens, embedding(this.positionalEmbedding, places));
  }

  /** Texts without padding, where nothing reads it. */
  #packing(ids: Tensor, ends: Places | undefined): Packing | undefined {
    const { noCausalMask } = this.config;
    if (noCausalMask || !(ends instanceof Tensor) || !this.transformer.takesPacked)
      return undefined;
    return packTexts(ids, ends);
  }

  /**
   * What may be seen of the places of a text and of the one behind it, [B, L + 1]: the first, and those
   * whose predecessor is no padding. OpenCLIP's checkpoints were trained with the mask one place late.
   */
  #seen(ids: Tensor): Tensor {
    const { device } = ids;
    const first = eq(zeros([ids.dim(0), 1], { device }), 0);
    return cat([first, ne(ids, this.config.padId)], 1);
  }

  /** From the vectors of all places, or of the one alone, that of each text: [B, W]. */
  #pool(normed: Tensor, ids: Tensor, places: Places | undefined): Tensor {
    if (places !== undefined) {
      return squeeze(normed.dim(1) === ids.dim(1) ? takePlaces(normed, places) : normed, 1);
    }
    const counted = unsqueeze(to(this.#isText(ids), { dtype: normed.dtype }), -1);
    return div(sum(mul(normed, counted), { dim: 1 }), sum(counted, { dim: 1 }));
  }

  /** Whether each place is one of the text, up to and with its end: [B, L]. */
  #isText(ids: Tensor): Tensor {
    const { textEnd, poolType } = this.config;
    const end = this.#places(ids, poolType === 'eos' ? 'eos' : textEnd);
    return le(arange(ids.dim(1), { device: ids.device }), end);
  }

  #fillUp(ids: Tensor): Tensor {
    const missing = this.config.contextLength - ids.dim(1);
    if (missing === 0 || !needsContext(this.config)) return ids;
    return pad(ids, [0, missing], this.config.padId);
  }

  /** The place of each text that is first, last, or of an id: a number, or int64 [B, 1]. */
  #places(ids: Tensor, which: 'argmax' | 'eos'): Tensor;
  #places(ids: Tensor, which: 'argmax' | 'eos' | 'first' | 'last'): Places;
  #places(ids: Tensor, which: 'argmax' | 'eos' | 'first' | 'last'): Places {
    switch (which) {
      case 'first':
        return 0;
      case 'last':
        return ids.dim(1) - 1;
      case 'argmax':
        return argmax(ids, { dim: 1, keepdim: true });
      case 'eos':
        return argmax(to(eq(ids, this.config.eosId), { dtype: 'int32' }), {
          dim: 1,
          keepdim: true,
        });
    }
  }

  #project(pooled: Tensor): Tensor {
    const { textProjection } = this;
    if (textProjection === null) return pooled;
    if (textProjection instanceof Linear) return textProjection.forward(pooled);
    return matmul(pooled, textProjection);
  }
}

function projection(config: TextTransformerConfig, embedDim: number): Parameter | Linear | null {
  const { width, projType, projBias } = config;
  if (projType === 'none') return null;
  if (!projBias) return new Parameter(zeros([width, embedDim]));
  return new Linear({ inFeatures: width, outFeatures: embedDim, generator: null });
}

/**
 * Draws the weights of a text tower's residual blocks as OpenAI's and OpenCLIP's do; simplified blocks
 * keep those that they start with.
 */
export function initTransformer(
  { resblocks }: Transformer,
  { width, layers }: TransformerConfig,
  generator: Generator | null,
): void {
  for (const block of resblocks) {
    if (block instanceof ResidualBlock) initBlock(block, { width, layers }, generator);
  }
}

/** Draws the weights of one residual block of so many layers. */
export function initBlock(
  { attn, mlp }: ResidualBlock | CrossAttentionBlock,
  { width, layers }: { width: number; layers: number },
  generator: Generator | null,
): void {
  const draw = (weight: Parameter, std: number) => normalInit(weight, generator, { std });
  const attention = width ** -0.5;
  const residual = attention * (2 * layers) ** -0.5;
  if (attn.inProjWeight !== null) draw(attn.inProjWeight, attention);
  draw(attn.outProj.weight, residual);
  for (const { cFc, cProj } of mlp instanceof MixtureOfExperts ? mlp.experts : [mlp]) {
    draw(cFc.weight, (2 * width) ** -0.5);
    draw(cProj.weight, residual);
  }
}

/** @throws BantamError when texts [B, L] are longer than the context. */
export function requireContext(ids: Tensor, contextLength: number): void {
  const given = ids.dim(1);
  if (given <= contextLength) return;
  throw new BantamError(
    `Texts of ${given} tokens do not fit the model's context of ${contextLength}; encode them with the model's own tokenizer.`,
  );
}

/** What OpenCLIP 3.3 also knows: its value that means what Bantam does, or nothing at all. */
const unsupported = {
  tokenizer_mode: null,
  hf_model_name: null,
};

/** CLIP's own text tower. */
export const textTransformer: TextTowerKind<TextTransformerConfig> = {
  type: 'transformer',
  fields: {
    contextLength: count(77),
    vocabSize: count(49408),
    width: count(512),
    heads: count(8),
    ...transformerFields,
    embedCls: flag(false),
    noCausalMask: flag(false),
    maskPadding: flag(false),
    poolType: oneOf('argmax', 'first', 'last', 'eos', 'mean'),
    textEnd: oneOf('argmax', 'eos'),
    padId: index(0),
    eosId: index(2),
    projType: oneOf('linear', 'none'),
    projBias: flag(false),
    hfTokenizerName: optional(text()),
    tokenizerKwargs: optional(object()),
  },
  check(config, { embedDim }) {
    requireMultiple(config, 'width', 'heads', 'text');
    checkTransformer(config, 'text');
    if (config.projType === 'none' && config.width !== embedDim) {
      throw new BantamError(
        `Without a projection the width of "text" (${config.width}) is the length of the features; ` +
          `set "embedDim" (${embedDim}) to it, or "projType" to "linear".`,
      );
    }
    checkPadding(config);
    for (const id of ['padId', 'eosId'] as const) {
      const used = id === 'padId' ? readsPadding(config) : looksForEos(config);
      if (!used || config[id] < config.vocabSize) continue;
      throw new BantamError(
        `"${id}" of "text" is ${config[id]}, but the ids of ${config.vocabSize} tokens end before it.`,
      );
    }
  },
  blocks: /^transformer\.resblocks\.(\d+)\./,
  create: (options) => new TextTransformer(options),
  flops(config, { embedDim, tokens }) {
    const { projType, width } = config;
    const places = computedPlaces(config, tokens);
    const projection = projType === 'none' ? 0 : 2 * width * embedDim;
    return transformerFlops(config, places) + projection;
  },
  positions: { name: 'positional_embedding', suffix: ({ embedCls }) => Number(embedCls) },
  describe: (config) => `text ${describeBlocks(config)}`,
  toOpenClip(config) {
    const own = config.maskPadding || config.poolType === 'mean' || config.textEnd === 'eos';
    return own || !isPlain(config) ? null : writeTransformer(config, textTransformer.fields);
  },
  fromOpenClip(tower, missing) {
    const { maskPadding, textEnd, ...fields } = textTransformer.fields;
    const read = readTransformer(tower, 'text_cfg', { fields, unsupported, missing });
    return { ...read, maskPadding: maskPadding.fallback, textEnd: textEnd.fallback };
  },
};

/** @throws BantamError where padding would count in spite of its mask, or is never seen anyway. */
function checkPadding(config: TextTransformerConfig): void {
  const { embedCls, maskPadding, noCausalMask, poolType } = config;
  if (!maskPadding) return;
  if (embedCls) {
    throw new BantamError(
      '"maskPadding" of "text" is without effect beside "embedCls", which has its own mask; leave it out.',
    );
  }
  if (!noCausalMask) {
    throw new BantamError(
      '"maskPadding" of "text" is without effect under a causal mask; set "noCausalMask" too, or leave it out.',
    );
  }
  if (poolType !== 'last') return;
  throw new BantamError(
    '"poolType" "last" of "text" reads padding, which "maskPadding" hides; choose another one.',
  );
}
