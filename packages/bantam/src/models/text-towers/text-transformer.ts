import {
  add,
  arange,
  argmax,
  div,
  Embedding,
  eq,
  LayerNorm,
  le,
  Linear,
  matmul,
  Module,
  mul,
  narrow,
  normalInit,
  pad,
  Parameter,
  squeeze,
  sum,
  to,
  unsqueeze,
  zeros,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../errors.js';
import { MixtureOfExperts } from '../blocks/mixture-of-experts.js';
import { takePlaces, type Places } from '../blocks/places.js';
import { ResidualBlock, Transformer } from '../blocks/transformer.js';
import type { TransformerConfig } from '../blocks/transformer-config.js';
import {
  sumOf,
  type Encoded,
  type TextEncodeOptions,
  type TextTower,
  type TowerOptions,
} from '../tower.js';
import { needsContext, type TextTransformerConfig } from './transformer-config.js';

/**
 * CLIP's text tower (Radford et al. 2021, section 2.4): tokens plus positions, causal blocks, layer
 * norm, the vector at the end of the text, projection. Weights start as OpenAI's and OpenCLIP's, those
 * of simplified blocks as these are defined.
 */
export class TextTransformer extends Module implements TextTower {
  tokenEmbedding: Embedding;
  positionalEmbedding: Parameter;
  transformer: Transformer;
  lnFinal: LayerNorm;
  textProjection: Parameter | Linear | null;
  readonly config: TextTransformerConfig;

  constructor({ config, embedDim, quickGelu, generator }: TowerOptions<TextTransformerConfig>) {
    super();
    const { width, vocabSize, contextLength, heads } = config;
    this.config = config;
    this.tokenEmbedding = new Embedding({ entries: vocabSize, width, generator: null });
    this.positionalEmbedding = new Parameter(zeros([contextLength, width]));
    this.transformer = new Transformer({ config, heads, quickGelu, generator });
    this.lnFinal = new LayerNorm({ width, eps: config.normEps });
    this.textProjection = projection(config, embedDim);

    const draw = (weight: Parameter, std: number) => normalInit(weight, generator, { std });
    draw(this.tokenEmbedding.weight, 0.02);
    draw(this.positionalEmbedding, 0.01);
    initTransformer(this.transformer, config, generator);
    const last = this.textProjection;
    if (last !== null) draw(last instanceof Linear ? last.weight : last, width ** -0.5);
  }

  /**
   * Token ids int64 [B, L] → features [B, embedDim]. L may be anything up to the context: what lies
   * behind the end of a text changes nothing (a tower whose features do depend on it fills texts up
   * to the context itself).
   *
   * @throws BantamError when texts are longer than the context.
   */
  encode(ids: Tensor, { tokens = false }: TextEncodeOptions = {}): Encoded {
    const { contextLength, noCausalMask, maskPadding, poolType } = this.config;
    requireContext(ids, contextLength);
    const given = ids.dim(1);
    const filled = this.#fillUp(ids);
    const places = poolType === 'mean' ? undefined : this.#places(filled, poolType);
    const positions = narrow(this.positionalEmbedding, 0, 0, filled.dim(1));
    const x = add(this.tokenEmbedding.forward(filled), positions);
    const auxiliary: Tensor[] = [];
    const y = this.transformer.forward(x, {
      causal: !noCausalMask,
      visible: maskPadding ? this.#isText(filled) : undefined,
      places: tokens ? undefined : places,
      auxiliary,
    });
    const normed = this.lnFinal.forward(y);
    return {
      pooled: this.#project(this.#pool(normed, filled, places)),
      tokens: tokens ? narrow(normed, 1, 0, given) : null,
      auxiliaryLoss: sumOf(auxiliary),
    };
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
  const draw = (weight: Parameter, std: number) => normalInit(weight, generator, { std });
  const attention = width ** -0.5;
  const residual = attention * (2 * layers) ** -0.5;
  for (const block of resblocks) {
    if (!(block instanceof ResidualBlock)) continue;
    const { attn, mlp } = block;
    draw(attn.inProjWeight, attention);
    draw(attn.outProj.weight, residual);
    for (const { cFc, cProj } of mlp instanceof MixtureOfExperts ? mlp.experts : [mlp]) {
      draw(cFc.weight, (2 * width) ** -0.5);
      draw(cProj.weight, residual);
    }
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
