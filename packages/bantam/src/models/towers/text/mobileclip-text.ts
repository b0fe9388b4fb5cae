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
import * as v from 'valibot';
import { BantamError } from '../../../base/errors.js';
import { count, flag, group, index, positive, setting } from '../../../base/schema.js';
import { RepMixerBlock } from '../../blocks/rep-mixer.js';
import { runBlock } from '../../blocks/run-block.js';
import { gatherTokens } from '../../blocks/sequences.js';
import {
  checkTransformer,
  transformerEntries,
  transformerFlops,
} from '../../blocks/transformer-config.js';
import { activationOf } from '../../blocks/residual-block.js';
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
import { requireContext } from './text-transformer.js';

/** Settings of MobileCLIP's hybrid text tower. */
const mobileClipTextSchema = group({
  type: v.literal('mobileclip'),
  ...textInputEntries,
  width: setting(count(), 512, "Length of a token's vector."),
  heads: setting(count(), 8, 'Number of attention heads.'),
  ...transformerEntries,
  layers: setting(count(), 4, 'Number of transformer blocks.'),
  kernel: setting(count(), 11, 'Tokens under the kernels of the RepMixer blocks.'),
  mixerRatio: setting(
    positive(),
    4,
    'Hidden units of the RepMixer blocks as a multiple of the width.',
  ),
  layerScale: setting(positive(), 1e-5, "Initial value of the RepMixer blocks' layer scales."),
  padId: setting(index(), 0, 'Id of the padding that fills a text up to the context.'),
  fused: setting(flag(), false, 'Has the merged convolutions of evaluation in place of branches.'),
  ...tokenizerEntries,
});

/** The hybrid text tower of MobileCLIP-S0 (Vasu et al. 2024, section 3.2): its `mct`. */
export type MobileClipTextConfig = ConfigOf<typeof mobileClipTextSchema>;

/** Hidden units of a RepMixer block. */
export function mixerWidth({ width, mixerRatio }: MobileClipTextConfig): number {
  return Math.floor(width * mixerRatio);
}

/** A {@link RepMixerBlock} with kernels along a text. */
class TextMixer extends RepMixerBlock {
  constructor({ config, quickGelu, generator }: TowerOptions<MobileClipTextConfig>) {
    const { width, kernel, layerScale, fused } = config;
    super({
      width,
      hidden: mixerWidth(config),
      kernel: [1, kernel],
      mlpKernel: [1, kernel],
      layerScale,
      activation: activationOf(quickGelu, config.geluTanh),
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
   * @throws BantamError if texts are longer than the context.
   */
  encode(ids: Tensor, { tokens = false }: TextEncodeOptions = {}): Encoded {
    const { contextLength, padId } = this.config;
    requireContext(ids, contextLength);
    const given = ids.dim(1);
    const filled = given === contextLength ? ids : pad(ids, [0, contextLength - given], padId);
    const ends = argmax(filled, { dim: 1, keepdim: true });
    const x = add(this.tokenEmbedding.forward(filled), this.positionalEmbedding);
    const auxiliary: Tensor[] = [];
    const mixedIn = runBlock((x: Tensor) => this.mixerIn.forward(x), x);
    const blocks = this.transformer.forward(mixedIn, { auxiliary });
    const mixed = runBlock((x: Tensor) => this.mixerOut.forward(x), blocks);
    const normed = this.lnFinal.forward(tokens ? mixed : gatherTokens(mixed, ends));
    const pooled = squeeze(tokens ? gatherTokens(normed, ends) : normed, 1);
    return {
      pooled: matmul(pooled, this.textProjection),
      tokens: tokens ? narrow(normed, 1, 0, given) : null,
      auxiliaryLoss: sumOf(auxiliary),
    };
  }
}

/** MobileCLIP-S0's hybrid text tower. */
export const mobileClipText: TextTowerKind<typeof mobileClipTextSchema> = {
  type: 'mobileclip',
  schema: mobileClipTextSchema,
  check(config, { customText }) {
    requireMultiple(config, 'width', 'heads', 'text');
    checkTransformer(config, 'text');
    if (!customText) {
      throw new BantamError(
        'A text tower of type "mobileclip" keeps its parameters under "text."; set "customText" to true.',
      );
    }
    if (config.kernel % 2 === 0) {
      throw new BantamError(`"kernel" of "text" (${config.kernel}) must be odd.`);
    }
    if (mixerWidth(config) < 1) {
      throw new BantamError('"mixerRatio" of "text" leaves no hidden unit; make it larger.');
    }
    if (config.padId >= config.vocabSize) {
      throw new BantamError(
        `"padId" of "text" is ${config.padId}, but the ids of ${config.vocabSize} tokens end before it.`,
      );
    }
  },
  blocks: /^(mixer_in|mixer_out|transformer\.resblocks\.\d+)\./,
  create: (options) => new MobileClipText(options),
  flops(config, { embedDim }) {
    const { contextLength, kernel, width } = config;
    // Two depthwise convolutions along the text, and the MLP.
    const mixer = 4 * contextLength * width * (kernel + mixerWidth(config));
    return transformerFlops(config, contextLength) + 2 * mixer + 2 * width * embedDim;
  },
  describe: ({ width, layers, fused }) =>
    `hybrid text ${width} × ${layers}${fused ? ', fused' : ''}`,
  toOpenClip: () => null,
  fromOpenClip: () => null,
};
