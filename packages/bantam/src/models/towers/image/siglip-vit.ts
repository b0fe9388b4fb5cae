import {
  add,
  LayerNorm,
  Module,
  type Activation,
  type Generator,
  type Parameter,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../../base/errors.js';
import { count, flag, group, oneOf, positive, setting } from '../../../base/schema.js';
import { resizeGrid } from '../../blocks/grid-positions.js';
import { dropPatches, gridSize, keptPatches } from '../../blocks/patches.js';
import { runBlocks } from '../../blocks/run-block.js';
import {
  checkTransformer,
  mlpWidth,
  plainBlocks,
  transformerFlops,
} from '../../blocks/transformer-config.js';
import { channelStatistics } from '../../preprocess.js';
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
import { requirePixels } from './pixels.js';
import { projBiasDescription, projDescription, TimmHead, timmHeadFlops, TimmMlp } from './timm.js';
import {
  AttentionPoolLatent,
  attentionPoolFlops,
  PatchProjection,
  TimmBlock,
  timmParameter,
} from './timm-vit-blocks.js';

/** Settings of SigLIP's image tower. */
const siglipVitSchema = group({
  type: v.literal('siglip-vit'),
  imageSize: imageSizeSetting(224),
  patchSize: setting(
    count(),
    16,
    'Side length of a square patch in pixels; a rest beyond whole patches is cut off.',
  ),
  width: setting(count(), 768, "Length of a token's vector."),
  layers: setting(count(), 12, 'Number of blocks.'),
  heads: setting(count(), 12, 'Attention heads, of the pooling too.'),
  mlpRatio: setting(positive(), 4, "Hidden units of a block's MLP as a multiple of the width."),
  normEps: setting(positive(), 1e-6, 'Added to the variance in layer norms.'),
  geluTanh: setting(flag(), false, 'Tanh approximation of GELU instead of the error function.'),
  proj: setting(oneOf('none', 'linear', 'mlp'), 'none', projDescription),
  projBias: setting(flag(), false, projBiasDescription),
});

/** SigLIP's image tower: a vision transformer pooled by attention (Zhai et al. 2023). */
export type SiglipVitConfig = ConfigOf<typeof siglipVitSchema>;

/** Options of the tower's trunk. */
interface TrunkOptions {
  config: SiglipVitConfig;
  generator: Generator | null;
}

/** Sizes of the pooling, whose MLP is as that of the blocks. */
function poolSizes(config: SiglipVitConfig) {
  const { width, heads, normEps, geluTanh } = config;
  const activation: Activation = geluTanh ? 'gelu-tanh' : 'gelu';
  return { width, heads, normEps, activation, hidden: mlpWidth(config) };
}

/** Patches with positions, blocks, layer norm and pooling, under timm's names. */
class SiglipTrunk extends Module {
  patchEmbed: PatchProjection;
  posEmbed: Parameter;
  blocks: TimmBlock[];
  norm: LayerNorm;
  attnPool: AttentionPoolLatent;
  readonly #config: SiglipVitConfig;

  constructor({ config, generator }: TrunkOptions) {
    super();
    const { width, layers, patchSize } = config;
    const sizes = { ...poolSizes(config), generator };
    this.patchEmbed = new PatchProjection({ width, patchSize, generator });
    this.posEmbed = timmParameter([1, gridSize(config) ** 2, width], generator);
    this.blocks = Array.from(
      { length: layers },
      () => new TimmBlock({ ...sizes, mlp: () => new TimmMlp(sizes) }),
    );
    this.norm = new LayerNorm({ width, eps: config.normEps });
    this.attnPool = new AttentionPoolLatent(sizes);
    this.#config = config;
  }

  /** [B, 3, S, S] → the vectors of the patches, of those that are kept: [B, L, W] */
  forward(pixels: Tensor, options: ImageEncodeOptions): Tensor {
    const config = this.#config;
    const imageSize = requirePixels(pixels, { config, rules: siglipVit, options });
    const { patchDropout = 0, generator } = options;
    const { patchSize } = config;
    const patches = this.patchEmbed.forward(pixels);
    const grid = gridSize({ imageSize, patchSize });
    const placed = add(patches, resizeGrid(this.posEmbed, { prefix: 0, grid }));
    const kept = dropPatches(placed, { fraction: this.training ? patchDropout : 0, generator });
    return this.norm.forward(runBlocks(this.blocks, kept, (block, x) => block.forward(x)));
  }
}

/**
 * SigLIP's image tower (Zhai et al. 2023): a vision transformer without class token, pooled by
 * attention. Equal to timm's `vit_*_siglip_*` inside OpenCLIP.
 */
export class SiglipVisionTransformer extends Module implements ImageTower {
  trunk: SiglipTrunk;
  head: TimmHead;
  readonly config: SiglipVitConfig;

  constructor({ config, embedDim, generator }: TowerOptions<SiglipVitConfig>) {
    super();
    this.config = config;
    this.trunk = new SiglipTrunk({ config, generator });
    this.head = new TimmHead({ config, width: config.width, embedDim, generator });
  }

  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    const patches = this.trunk.forward(pixels, options);
    const representation = this.trunk.attnPool.forward(patches);
    return {
      pooled: this.head.forward(representation),
      representation,
      tokens: options.tokens === true ? patches : null,
    };
  }
}

/** Sizes by timm's names for them. */
const sizes: Readonly<Record<string, Partial<SiglipVitConfig>>> = {
  base: { width: 768, layers: 12, heads: 12, mlpRatio: 4 },
  large: { width: 1024, layers: 24, heads: 16, mlpRatio: 4 },
  so400m: { width: 1152, layers: 27, heads: 16, mlpRatio: 3.7362 },
  giantopt: { width: 1536, layers: 40, heads: 16, mlpRatio: 4 },
};

/** Timm's models: size, patch, images; those named last have the tanh approximation of GELU. */
const exact = [
  ['base', 16, [224, 256, 384, 512]],
  ['large', 16, [256, 384]],
  ['so400m', 14, [224, 378, 384]],
] as const;
const approximate = [
  ['base', 32, [256]],
  ['large', 16, [512]],
  ['so400m', 16, [256, 384, 512]],
  ['giantopt', 16, [256, 384]],
] as const;

function timmModels(): Record<string, Partial<SiglipVitConfig>> {
  const all = [
    ...exact.map((entry) => ({ entry, geluTanh: false })),
    ...approximate.map((entry) => ({ entry, geluTanh: true })),
  ];
  return Object.fromEntries(
    all.flatMap(({ entry: [size, patchSize, images], geluTanh }) =>
      images.map((imageSize) => [
        `vit_${size}_patch${patchSize}_siglip_${imageSize}`,
        { ...sizes[size], patchSize, imageSize, geluTanh, normEps: 1e-6 },
      ]),
    ),
  );
}

const timm: TimmTowers<SiglipVitConfig> = {
  models: timmModels(),
  pools: ['map'],
  projections: ['none', 'linear', 'mlp'],
};

/** SigLIP's image tower. */
export const siglipVit: ImageTowerKind<typeof siglipVitSchema> = {
  type: 'siglip-vit',
  schema: siglipVitSchema,
  check(config, { embedDim }) {
    requireMultiple(config, 'width', 'heads', 'vision');
    checkTransformer({ ...plainBlocks, ...config }, 'vision');
    siglipVit.checkImageSize(config, config.imageSize);
    if (config.proj === 'none' && config.width !== embedDim) {
      throw new BantamError(
        `Without a projection the width of "vision" (${config.width}) is the length of the features; ` +
          `set "embedDim" (${embedDim}) to it, or "proj" to "linear".`,
      );
    }
  },
  dropsPatches: true,
  checkImageSize({ patchSize }, imageSize) {
    if (gridSize({ imageSize, patchSize }) >= 1) return;
    throw new BantamError(
      `"imageSize" of "vision" (${imageSize}) has no room for a patch of ${patchSize} pixels.`,
    );
  },
  blocks: /^trunk\.blocks\.(\d+)\./,
  create: (options) => new SiglipVisionTransformer(options),
  flops(config, { embedDim, training, patchDropout = 0 }) {
    const { width, patchSize } = config;
    const patches = gridSize(config) ** 2;
    const tokens = training ? keptPatches(patches, patchDropout) : patches;
    const embedding = 2 * patches * width * 3 * patchSize ** 2;
    const pooling = attentionPoolFlops({ width, hidden: mlpWidth(config) }, tokens);
    const head = timmHeadFlops(config, { width, embedDim });
    return embedding + transformerFlops({ ...plainBlocks, ...config }, tokens) + pooling + head;
  },
  preprocess: { ...channelStatistics.inception, resizeMode: 'squash' },
  positions: { name: 'trunk.pos_embed', prefix: () => 0, grid: gridSize },
  describe: ({ width, layers, patchSize, imageSize }) =>
    `SigLIP ViT ${width} × ${layers}, patch ${patchSize}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTower(config, timm),
  fromOpenClip: (tower, missing) => readTimmTower(tower, timm, missing),
};
