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
  LayerNorm,
  le,
  Linear,
  matmul,
  Module,
  mul,
  narrow,
  ne,
  normalInit,
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
  type Packing,
} from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../../base/errors.js';
import { count, flag, group, index, oneOf, setting } from '../../../base/schema.js';
import type { KeyValueCache } from '../../blocks/attention.js';
import { gatherTokens, unpadTexts, type Positions } from '../../blocks/sequences.js';
import {
  checkTransformer,
  describeBlocks,
  isPlain,
  transformerEntries,
  transformerFlops,
} from '../../blocks/transformer-config.js';
import { initTransformer, Transformer } from '../../blocks/transformer.js';
import {
  requireMultiple,
  sumOf,
  textInputEntries,
  tokenizerEntries,
  type ConfigOf,
  type Encoded,
  type TextEncodeOptions,
  type TextTower,
  type TextTowerKind,
  type TowerOptions,
} from '../../tower.js';
import { readTransformer, writeTransformer } from '../open-clip-members.js';

/** Settings of CLIP's text tower. */
const textTransformerSchema = group({
  type: v.optional(v.literal('transformer'), 'transformer'),
  ...textInputEntries,
  width: setting(count(), 512, "Length of a token's vector."),
  heads: setting(count(), 8, 'Number of attention heads.'),
  ...transformerEntries,
  embedCls: setting(
    flag(),
    false,
    "Append a class token at the end of the context, whose vector is the text's (CoCa, Yu et al. 2022, section 3.2) whatever `poolType` is. As in OpenCLIP's checkpoints no token sees what follows a `padId`: of the padding only its first position, and the class token only if the text fills the context.",
  ),
  noCausalMask: setting(flag(), false, 'Let every token see the tokens after it too.'),
  maskPadding: setting(
    flag(),
    false,
    'Without a causal mask, let no token see the padding: all after the end of a text, whatever its ids are.',
  ),
  poolType: setting(
    oneOf('argmax', 'first', 'last', 'eos', 'mean'),
    'argmax',
    "The text's vector: at its highest id, first or last position, or first `eosId`, or the mean of all up to its end.",
  ),
  textEnd: setting(
    oneOf('argmax', 'eos'),
    'argmax',
    'End of a text for `maskPadding` and `mean`: its highest id, or first `eosId`.',
  ),
  padId: setting(index(), 0, 'Id of the padding, if pooling or mask depends on it.'),
  eosId: setting(index(), 2, 'Id that `eos` looks for.'),
  projType: setting(
    oneOf('linear', 'none'),
    'linear',
    'Projection to the feature; `none`: the pooled vector is the feature.',
  ),
  projBias: setting(flag(), false, 'Whether the projection has a bias.'),
  ...tokenizerEntries,
});

/** A text transformer as CLIP has it. */
export type TextTransformerConfig = ConfigOf<typeof textTransformerSchema>;

/** True if a text tower is a {@link TextTransformer}. */
export function isTextTransformer<Config extends { type: string }>(
  config: Config,
): config is Extract<Config, { type: 'transformer' }> {
  return config.type === 'transformer';
}

/**
 * True if features depend on the padding after a text, so that every text must be padded to the
 * context: without any mask, or pooled at the last position.
 */
export function needsContext({
  embedCls,
  noCausalMask,
  maskPadding,
  poolType,
}: TextTransformerConfig): boolean {
  return !embedCls && ((noCausalMask && !maskPadding) || poolType === 'last');
}

/** Length of the sequence that the blocks compute for a text of `tokens` tokens. */
export function sequenceLength(config: TextTransformerConfig, tokens: number): number {
  const { contextLength, embedCls } = config;
  if (needsContext(config)) return contextLength;
  // The class token, and the first position of the padding if there is any.
  return embedCls ? Math.min(tokens + 1, contextLength) + 1 : tokens;
}

/** True if features depend on the id of the padding. */
export function readsPadding(config: TextTransformerConfig): boolean {
  return config.embedCls || needsContext(config);
}

/** True if `eosId` marks the end of a text. */
export function looksForEos(config: TextTransformerConfig): boolean {
  const { embedCls, poolType, textEnd, maskPadding } = config;
  if (embedCls) return false;
  return poolType === 'eos' || (textEnd === 'eos' && (maskPadding || poolType === 'mean'));
}

/**
 * CLIP's text tower (Radford et al. 2021, section 2.4): tokens plus positions, causal blocks, layer
 * norm, the vector at the end of the text, projection. Weights are initialised as OpenAI's and
 * OpenCLIP's, those of simplified blocks as He and Hofmann define them.
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
    this.textProjection = createProjection(config, embedDim);

    const init = (weight: Parameter, std: number) => normalInit(weight, generator, { std });
    init(this.tokenEmbedding.weight, 0.02);
    init(this.positionalEmbedding, 0.01);
    if (this.clsEmb !== null) init(this.clsEmb, 0.01);
    initTransformer(this.transformer, config, generator);
    const last = this.textProjection;
    if (last !== null) init(last instanceof Linear ? last.weight : last, width ** -0.5);
  }

  /**
   * Token ids int64 [B, L] → features [B, embedDim]. L may be anything up to the context: what
   * follows the end of a text has no effect (a tower whose features do depend on it pads texts to
   * the context itself). The tokens' vectors are those after the last layer norm; with a class
   * token those before it, as CoCa's decoder reads them.
   *
   * @throws BantamError if texts are longer than the context.
   */
  encode(ids: Tensor, { tokens = false }: TextEncodeOptions = {}): Encoded {
    const { contextLength, noCausalMask, maskPadding, poolType } = this.config;
    requireContext(ids, contextLength);
    if (this.clsEmb !== null) return this.#encodeWithClass(ids, this.clsEmb, tokens);
    const given = ids.dim(1);
    const padded = this.#pad(ids);
    const pooledAt = poolType === 'mean' ? undefined : this.#position(padded, poolType);
    const packing = tokens ? undefined : this.#packing(padded, pooledAt);
    const auxiliary: Tensor[] = [];
    const y = this.transformer.forward(this.#embed(padded, { packing }), {
      causal: !noCausalMask,
      visible: maskPadding ? this.#isText(padded) : undefined,
      positions: tokens ? undefined : pooledAt,
      packing,
      auxiliary,
    });
    const normed = this.lnFinal.forward(y);
    return {
      pooled: this.#project(this.#pool(normed, padded, pooledAt)),
      tokens: tokens ? narrow(normed, 1, 0, given) : null,
      auxiliaryLoss: sumOf(auxiliary),
    };
  }

  /**
   * The tokens' vectors, as {@link encode} gives them, for one further token of each text alone: ids
   * int64 [N, L] up to and including that token → [N, 1, width]. A cache for each layer holds the
   * tokens before.
   */
  step(ids: Tensor, caches: readonly KeyValueCache[]): Tensor {
    const last = ids.dim(1) - 1;
    const x = this.#embed(narrow(ids, 1, last, 1), { start: last });
    if (this.clsEmb === null) return this.lnFinal.forward(this.transformer.step(x, caches));
    const visible = this.#visibleWithClass(narrow(ids, 1, 0, last));
    return this.transformer.step(x, caches, visible);
  }

  #encodeWithClass(ids: Tensor, cls: Parameter, tokens: boolean): Encoded {
    const { contextLength, noCausalMask, padId, width } = this.config;
    const given = ids.dim(1);
    // The class token sees the first position of the padding, which the longest text has too.
    const padded = given < contextLength ? pad(ids, [0, 1], padId) : ids;
    const length = padded.dim(1);
    const last = add(cls, select(this.positionalEmbedding, 0, contextLength));
    const x = cat([this.#embed(padded), expand(last, [ids.dim(0), 1, width])], 1);
    const auxiliary: Tensor[] = [];
    const y = this.transformer.forward(x, {
      causal: !noCausalMask,
      visible: this.#visibleWithClass(padded),
      positions: tokens ? undefined : length,
      auxiliary,
    });
    const pooled = tokens ? narrow(y, 1, length, 1) : y;
    return {
      pooled: this.#project(squeeze(this.lnFinal.forward(pooled), 1)),
      tokens: tokens ? narrow(y, 1, 0, given) : null,
      auxiliaryLoss: sumOf(auxiliary),
    };
  }

  /** Vectors of tokens [B, L] after `start` others: [B, L, W]; without padding [T, W]. */
  #embed(
    ids: Tensor,
    { start = 0, packing }: { start?: number; packing?: Packing | undefined } = {},
  ): Tensor {
    if (packing === undefined) {
      const positions = narrow(this.positionalEmbedding, 0, start, ids.dim(1));
      return add(this.tokenEmbedding.forward(ids), positions);
    }
    const positions = packRows(expand(arange(ids.dim(1)), [...ids.shape]), packing);
    const tokens = this.tokenEmbedding.forward(packRows(ids, packing));
    return add(tokens, embedding(this.positionalEmbedding, positions));
  }

  /**
   * Layout of texts without padding, if nothing reads the padding. One text alone keeps it: usually it has
   * none, and its length would have to be read.
   */
  #packing(ids: Tensor, ends: Positions | undefined): Packing | undefined {
    const { noCausalMask } = this.config;
    const reads = noCausalMask || !this.transformer.supportsUnpadding || ids.dim(0) === 1;
    return reads || !(ends instanceof Tensor) ? undefined : unpadTexts(ids, ends);
  }

  /**
   * Visible positions of a text and the class token after it, [B, L + 1]: the first, and those whose
   * predecessor is no padding. OpenCLIP's checkpoints were trained with the mask one position late.
   */
  #visibleWithClass(ids: Tensor): Tensor {
    const { device } = ids;
    const first = eq(zeros([ids.dim(0), 1], { device }), 0);
    return cat([first, ne(ids, this.config.padId)], 1);
  }

  /** The vector of each text, [B, W], from those of all positions or of `pooledAt` alone. */
  #pool(normed: Tensor, ids: Tensor, pooledAt: Positions | undefined): Tensor {
    if (pooledAt !== undefined) {
      return squeeze(normed.dim(1) === ids.dim(1) ? gatherTokens(normed, pooledAt) : normed, 1);
    }
    const counted = unsqueeze(to(this.#isText(ids), { dtype: normed.dtype }), -1);
    return div(sum(mul(normed, counted), { dim: 1 }), sum(counted, { dim: 1 }));
  }

  /** True for positions of the text, up to and including its end: [B, L]. */
  #isText(ids: Tensor): Tensor {
    const { textEnd, poolType } = this.config;
    const end = this.#position(ids, poolType === 'eos' ? 'eos' : textEnd);
    return le(arange(ids.dim(1), { device: ids.device }), end);
  }

  /** Texts padded to the context, if their features depend on it. */
  #pad(ids: Tensor): Tensor {
    const missing = this.config.contextLength - ids.dim(1);
    if (missing === 0 || !needsContext(this.config)) return ids;
    return pad(ids, [0, missing], this.config.padId);
  }

  /** The first or last position of each text, or that of an id: a number, or int64 [B, 1]. */
  #position(ids: Tensor, which: 'argmax' | 'eos'): Tensor;
  #position(ids: Tensor, which: 'argmax' | 'eos' | 'first' | 'last'): Positions;
  #position(ids: Tensor, which: 'argmax' | 'eos' | 'first' | 'last'): Positions {
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

function createProjection(
  config: TextTransformerConfig,
  embedDim: number,
): Parameter | Linear | null {
  const { width, projType, projBias } = config;
  if (projType === 'none') return null;
  if (!projBias) return new Parameter(zeros([width, embedDim]));
  return new Linear({ inFeatures: width, outFeatures: embedDim, generator: null });
}

/** @throws BantamError if texts [B, L] are longer than the context. */
export function requireContext(ids: Tensor, contextLength: number): void {
  const given = ids.dim(1);
  if (given <= contextLength) return;
  throw new BantamError(
    `Texts of ${given} tokens do not fit the model's context of ${contextLength}; encode them with the model's own tokenizer.`,
  );
}

/** Further members in OpenCLIP 3.3, with the values that Bantam computes. */
const unsupported = {
  tokenizer_mode: null,
  hf_model_name: null,
};

/** CLIP's own text tower. */
export const textTransformer: TextTowerKind<typeof textTransformerSchema> = {
  type: 'transformer',
  schema: textTransformerSchema,
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
    const length = sequenceLength(config, tokens);
    const projection = projType === 'none' ? 0 : 2 * width * embedDim;
    return transformerFlops(config, length) + projection;
  },
  positions: { name: 'positional_embedding', suffix: ({ embedCls }) => Number(embedCls) },
  describe: (config) => `text ${describeBlocks(config)}`,
  toOpenClip(config) {
    const own = config.maskPadding || config.poolType === 'mean' || config.textEnd === 'eos';
    return own || !isPlain(config) ? null : writeTransformer(config, textTransformerSchema.entries);
  },
  fromOpenClip(tower, missing) {
    if (typeof tower.hf_model_name === 'string' && tower.hf_model_name !== '') return null;
    const { maskPadding, textEnd, ...entries } = textTransformerSchema.entries;
    const read = readTransformer(tower, 'text_cfg', { entries, unsupported, missing });
    return {
      ...read,
      maskPadding: v.getDefault(maskPadding),
      textEnd: v.getDefault(textEnd),
    };
  },
};

/** @throws BantamError if `maskPadding` has no effect, or pooling reads what it hides. */
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
