import {
  add,
  contiguous,
  LayerNorm,
  mean,
  Module,
  normalInit,
  permute,
  reshape,
  transpose,
  truncatedNormalInit,
  xavierUniformInit,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { count, fraction, group, positive, setting } from '../../../base/schema.js';
import { PatchConv } from '../../blocks/patches.js';
import { dropPath, runBlocks } from '../../blocks/run-block.js';
import {
  imageSizeSetting,
  requireMultiple,
  type ConfigOf,
  type ImageEncoded,
  type ImageEncodeOptions,
  type ImageTower,
  type ImageTowerKind,
  type TowerOptions,
} from '../../tower.js';
import { readTimmTower, writeTimmTower, type TimmTowers } from './open-clip-timm.js';
import { refuseOtherSizes, requirePixels } from './pixels.js';
import { TimmHead, timmHeadEntries, timmHeadFlops, TimmMlp, type TimmMlpOptions } from './timm.js';

/** Settings of an MLP-Mixer. */
const mixerSchema = group({
  type: v.literal('mixer'),
  imageSize: imageSizeSetting(224),
  patchSize: setting(count(), 16, 'Side length of a square patch in pixels.'),
  width: setting(count(), 512, "Length of a patch's vector."),
  layers: setting(count(), 8, 'Number of blocks.'),
  tokenMlpRatio: setting(
    positive(),
    0.5,
    'Hidden units of the MLP across patches as a multiple of the width.',
  ),
  channelMlpRatio: setting(
    positive(),
    4,
    'Hidden units of the MLP across channels as a multiple of the width.',
  ),
  dropPath: setting(
    fraction(),
    0,
    'Probability by which training skips each branch of each block (Huang et al. 2016).',
  ),
  ...timmHeadEntries,
});

/** An MLP-Mixer (Tolstikhin et al. 2021). */
export type MixerConfig = ConfigOf<typeof mixerSchema>;

/** Lengths inside of a Mixer. */
export interface MixerSizes {
  readonly patches: number;
  /** Hidden units of the MLP across patches. */
  readonly tokenHidden: number;
  /** Hidden units of the MLP across channels. */
  readonly channelHidden: number;
}

/** The lengths that follow from a configuration. */
export function mixerSizes(config: MixerConfig): MixerSizes {
  const { imageSize, patchSize, width, tokenMlpRatio, channelMlpRatio } = config;
  return {
    patches: (imageSize / patchSize) ** 2,
    tokenHidden: Math.floor(width * tokenMlpRatio),
    channelHidden: Math.floor(width * channelMlpRatio),
  };
}

/** Added to the variance in layer norms. */
const eps = 1e-6;

/** Patches of the image, each times one matrix. */
class PatchEmbed extends Module {
  proj: PatchConv;

  constructor({ width, patchSize }: MixerConfig, generator: Generator | null) {
    super();
    this.proj = new PatchConv({ inChannels: 3, outChannels: width, size: patchSize });
    // Variance 1/inputs: a normal distribution that is cut at ±2σ keeps 0.8796² of its variance.
    const std = 1 / Math.sqrt(3 * patchSize ** 2) / 0.87962566103423978;
    truncatedNormalInit(this.proj.weight, generator, { std, low: -2 * std, high: 2 * std });
  }

  /** [B, 3, S, S] → [B, N, W] */
  forward(pixels: Tensor): Tensor {
    const map = this.proj.forward(permute(pixels, [0, 2, 3, 1]));
    return reshape(map, [map.dim(0), -1, map.dim(3)]);
  }
}

/** An MLP as timm starts a Mixer's: uniform weights (Glorot and Bengio 2010), biases N(0, 1e-12). */
function mixerMlp(options: TimmMlpOptions): TimmMlp {
  const mlp = new TimmMlp(options);
  for (const { weight, bias } of [mlp.fc1, mlp.fc2]) {
    xavierUniformInit(weight, options.generator);
    if (bias !== null) normalInit(bias, options.generator, { std: 1e-6 });
  }
  return mlp;
}

/**
 * y = x + MLP over the patches of LN₁x, for each channel alike, then y + MLP over the channels of
 * LN₂y, for each patch alike (Tolstikhin et al. 2021, eq. 1).
 */
class MixerBlock extends Module {
  norm1: LayerNorm;
  mlpTokens: TimmMlp;
  norm2: LayerNorm;
  mlpChannels: TimmMlp;
  readonly #dropPath: number;

  constructor(config: MixerConfig, generator: Generator | null) {
    super();
    const { width } = config;
    const { patches, tokenHidden, channelHidden } = mixerSizes(config);
    this.norm1 = new LayerNorm({ width, eps });
    this.mlpTokens = mixerMlp({ width: patches, hidden: tokenHidden, generator });
    this.norm2 = new LayerNorm({ width, eps });
    this.mlpChannels = mixerMlp({ width, hidden: channelHidden, generator });
    this.#dropPath = config.dropPath;
  }

  /** [B, N, W] → [B, N, W] */
  forward(x: Tensor, generator: Generator | undefined): Tensor {
    const drop = (branch: Tensor) =>
      dropPath(branch, { rate: this.training ? this.#dropPath : 0, generator });
    const channels = contiguous(transpose(this.norm1.forward(x), 1, 2));
    const y = add(x, drop(transpose(this.mlpTokens.forward(channels), 1, 2)));
    return add(y, drop(this.mlpChannels.forward(this.norm2.forward(y))));
  }
}

/** Patches, blocks and a last layer norm, under timm's names. */
class MixerTrunk extends Module {
  stem: PatchEmbed;
  blocks: MixerBlock[];
  norm: LayerNorm;

  constructor(config: MixerConfig, generator: Generator | null) {
    super();
    const { width, layers } = config;
    this.stem = new PatchEmbed(config, generator);
    this.blocks = Array.from({ length: layers }, () => new MixerBlock(config, generator));
    this.norm = new LayerNorm({ width, eps });
  }

  /** [B, 3, S, S] → [B, N, W] */
  forward(pixels: Tensor, generator: Generator | undefined): Tensor {
    const embedded = this.stem.forward(pixels);
    return this.norm.forward(
      runBlocks(this.blocks, embedded, (block, x) => block.forward(x, generator)),
    );
  }
}

/**
 * MLP-Mixer (Tolstikhin et al. 2021): patches whose vectors two MLPs mix in turn, one across patches
 * and one across channels; their mean, projected. Equal to timm's model inside OpenCLIP.
 * The MLPs across patches bind the tower to its image size.
 */
export class MlpMixer extends Module implements ImageTower {
  trunk: MixerTrunk;
  head: TimmHead;
  readonly config: MixerConfig;

  constructor({ config, embedDim, generator }: TowerOptions<MixerConfig>) {
    super();
    this.config = config;
    this.trunk = new MixerTrunk(config, generator);
    this.head = new TimmHead({ width: config.width, embedDim, config, generator });
  }

  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    requirePixels(pixels, { config: this.config, rules: mixer, options });
    const { tokens = false, generator } = options;
    const patches = this.trunk.forward(pixels, generator);
    const representation = mean(patches, { dim: 1 });
    return {
      pooled: this.head.forward(representation),
      representation,
      tokens: tokens ? patches : null,
    };
  }
}

const inOpenClip = { imageSize: 224, tokenMlpRatio: 0.5, channelMlpRatio: 4 };

const timm: TimmTowers<MixerConfig> = {
  models: {
    mixer_s32_224: { ...inOpenClip, patchSize: 32, width: 512, layers: 8 },
    mixer_s16_224: { ...inOpenClip, patchSize: 16, width: 512, layers: 8 },
    mixer_b32_224: { ...inOpenClip, patchSize: 32, width: 768, layers: 12 },
    mixer_b16_224: { ...inOpenClip, patchSize: 16, width: 768, layers: 12 },
  },
  pools: ['avg', ''],
  dropPath: 0,
};

/** MLP-Mixers. */
export const mixer: ImageTowerKind<typeof mixerSchema> = {
  type: 'mixer',
  schema: mixerSchema,
  check(config) {
    requireMultiple(config, 'imageSize', 'patchSize', 'vision');
  },
  // The MLPs across patches have a weight for each patch.
  checkImageSize: refuseOtherSizes,
  blocks: /^trunk\.blocks\.(\d+)\./,
  create: (options) => new MlpMixer(options),
  flops(config, { embedDim }) {
    const { patchSize, width, layers } = config;
    const { patches, tokenHidden, channelHidden } = mixerSizes(config);
    const embedding = 2 * patches * width * 3 * patchSize ** 2;
    const block = 4 * patches * width * (tokenHidden + channelHidden);
    return embedding + layers * block + timmHeadFlops(config, { width, embedDim });
  },
  describe: ({ width, layers, patchSize, imageSize }) =>
    `Mixer ${width} × ${layers}, patch ${patchSize}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTower(config, timm),
  fromOpenClip: (tower, missing) => readTimmTower(tower, timm, missing),
};
