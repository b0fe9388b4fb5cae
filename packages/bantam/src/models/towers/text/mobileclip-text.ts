import {
  add,
  argmax,
  Embedding,
  LayerNorm,
  matmul,
  Module,
  narrow,
  normalInit,
  pad,
  Parameter,
  squeeze,
  transpose,
  truncatedNormalInit,
  unsqueeze,
  zeros,
  type Tensor,
} from '@bantam/torch';
import { RepMixerBlock } from '../../blocks/rep-mixer.js';
import { takePlaces } from '../../blocks/sequences.js';
import { runBlock } from '../../blocks/run-block.js';
import { Transformer } from '../../blocks/transformer.js';
import {
  sumOf,
  type Encoded,
  type TextEncodeOptions,
  type TextTower,
  type TowerOptions,
} from '../../tower.js';
import { initTransformer, requireContext } from './text-transformer.js';
import { mixerWidth, type MobileClipTextConfig } from './mobileclip-config.js';

/** A {@link RepMixerBlock} whose kernels lie along a text. */
class TextMixer extends RepMixerBlock {
  constructor({ config, quickGelu, generator }: TowerOptions<MobileClipTextConfig>) {
    const { width, kernel, layerScale, fused } = config;
    super({
      width,
      hidden: mixerWidth(config),
      kernel: [1, kernel],
      mlpKernel: [1, kernel],
      layerScale,
      activation: quickGelu ? 'quick-gelu' : config.geluTanh ? 'gelu-tanh' : 'gelu',
      fused,
      generator,
    });
  }

  /** [B, L, W] → [B, L, W] */
  override forward(x: Tensor): Tensor {
    const map = unsqueeze(transpose(x, 1, 2), 2);
    return transpose(squeeze(super.forward(map), 2), 1, 2);
  }
}

/**
 * MobileCLIP's hybrid text tower (Vasu et al. 2024, section 3.2): tokens plus positions, a RepMixer
 * block along the text, pre-norm transformer blocks without a mask, another RepMixer block, layer
 * norm, the vector at the highest id, projection. Weights start as those of CLIP's text tower,
 * positions as N(0, 1/W).
 */
export class MobileClipText extends Module implements TextTower {
  tokenEmbedding: Embedding;
  positionalEmbedding: Parameter;
  mixerIn: TextMixer;
  transformer: Transformer;
  mixerOut: TextMixer;
  lnFinal: LayerNorm;
  textProjection: Parameter;
  readonly config: MobileClipTextConfig;

  constructor(options: TowerOptions<MobileClipTextConfig>) {
    super();
    const { config, embedDim, quickGelu, generator } = options;
    const { width, vocabSize, contextLength, heads, normEps: eps } = config;
    this.config = config;
    this.tokenEmbedding = new Embedding({ entries: vocabSize, width, generator: null });
    this.positionalEmbedding = new Parameter(zeros([contextLength, width]));
    this.mixerIn = new TextMixer(options);
    this.transformer = new Transformer({ config, heads, quickGelu, generator });
    this.mixerOut = new TextMixer(options);
    this.lnFinal = new LayerNorm({ width, eps });
    this.textProjection = new Parameter(zeros([width, embedDim]));

    const std = width ** -0.5;
    normalInit(this.tokenEmbedding.weight, generator, { std: 0.02 });
    truncatedNormalInit(this.positionalEmbedding, generator, { std });
    initTransformer(this.transformer, config, generator);
    normalInit(this.textProjection, generator, { std });
  }

  /**
   * Token ids int64 [B, L] → features [B, embedDim]. Every token sees the padding too, so texts are
   * filled up to the context.
   *
   * @throws BantamError when texts are longer than the context.
   */
  encode(ids: Tensor, { tokens = false }: TextEncodeOptions = {}): Encoded {
    const { contextLength, padId } = this.config;
    requireContext(ids, contextLength);
    const given = ids.dim(1);
    const filled = given === contextLength ? ids : pad(ids, [0, contextLength - given], padId);
    const places = argmax(filled, { dim: 1, keepdim: true });
    const x = add(this.tokenEmbedding.forward(filled), this.positionalEmbedding);
    const auxiliary: Tensor[] = [];
    const mixedIn = runBlock((x: Tensor) => this.mixerIn.forward(x), x);
    const blocks = this.transformer.forward(mixedIn, { auxiliary });
    const mixed = runBlock((x: Tensor) => this.mixerOut.forward(x), blocks);
    const normed = this.lnFinal.forward(tokens ? mixed : takePlaces(mixed, places));
    const pooled = squeeze(tokens ? takePlaces(normed, places) : normed, 1);
    return {
      pooled: matmul(pooled, this.textProjection),
      tokens: tokens ? narrow(normed, 1, 0, given) : null,
      auxiliaryLoss: sumOf(auxiliary),
    };
  }
}
