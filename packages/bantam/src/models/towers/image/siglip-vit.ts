import {
  add,
  Conv2d,
  dims,
  expand,
  LayerNorm,
  Module,
  narrow,
  Parameter,
  shortAttention,
  squeeze,
  truncatedNormalInit,
  zeros,
  type Generator,
  type Linear,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../../base/errors.js';
import { count, flag, group, oneOf, positive, setting } from '../../../base/schema.js';
import { attend, attendFlops } from '../../blocks/attention.js';
import { resizeGrid } from '../../blocks/grid-positions.js';
import { dropPatches, embedPatches, keptPatches } from '../../blocks/patches.js';
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
import {
  projBiasDescription,
  projDescription,
  TimmHead,
  timmHeadFlops,
  timmLinear,
  TimmMlp,
} from './timm.js';

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

/** Patches along one side of the image. */
export function siglipGrid({
  imageSize,
  patchSize,
}: Pick<SiglipVitConfig, 'imageSize' | 'patchSize'>): number {
  return Math.floor(imageSize / patchSize);
}

/** Options of the tower's parts. */
interface PartOptions {
  config: SiglipVitConfig;
  generator: Generator | null;
}

function mlpOf({ config, generator }: PartOptions): TimmMlp {
  const { width, geluTanh } = config;
  const activation = geluTanh ? 'gelu-tanh' : 'gelu';
  return new TimmMlp({ width, hidden: mlpWidth(config), activation, generator });
}

/** Multi-head self-attention under timm's names. */
class SiglipAttention extends Module {
  qkv: Linear;
  proj: Linear;
  readonly heads: number;

  constructor({ config, generator }: PartOptions) {
    super();
    const { width, heads } = config;
    this.qkv = timmLinear({ inFeatures: width, outFeatures: 3 * width, generator });
    this.proj = timmLinear({ inFeatures: width, outFeatures: width, generator });
    this.heads = heads;
  }

  /** [B, L, W] → [B, L, W] */
  forward(x: Tensor): Tensor {
    const { heads } = this;
    const width = x.dim(2);
    const all = this.qkv.forward(x);
    const part = (i: number) => narrow(all, 2, i * width, width);
    const mixed =
      shortAttention(all, { heads, causal: false }) ?? attend(part(0), part(1), part(2), heads);
    return this.proj.forward(mixed);
  }
}

/** A pre-norm residual block: y = x + attention(LN₁x), then y + MLP(LN₂y). */
class SiglipBlock extends Module {
  norm1: LayerNorm;
  attn: SiglipAttention;
  norm2: LayerNorm;
  mlp: TimmMlp;

  constructor(options: PartOptions) {
    super();
    const { width, normEps: eps } = options.config;
    this.norm1 = new LayerNorm({ width, eps });
    this.attn = new SiglipAttention(options);
    this.norm2 = new LayerNorm({ width, eps });
    this.mlp = mlpOf(options);
  }

  forward(x: Tensor): Tensor {
    const y = add(x, this.attn.forward(this.norm1.forward(x)));
    return add(y, this.mlp.forward(this.norm2.forward(y)));
  }
}

/**
 * Pooling by a learned query, then a residual MLP (Zhai et al. 2022, "Scaling Vision Transformers",
 * section 3.2; Lee et al. 2019): y = proj(attention(latent, x)), then y + MLP(LN y).
 */
class AttentionPoolLatent extends Module {
  latent: Parameter;
  q: Linear;
  kv: Linear;
  proj: Linear;
  norm: LayerNorm;
  mlp: TimmMlp;
  readonly heads: number;

  constructor({ config, generator }: PartOptions) {
    super();
    const { width, heads, normEps: eps } = config;
    const std = width ** -0.5;
    this.latent = truncatedNormalInit(new Parameter(zeros([1, 1, width])), generator, {
      std,
      low: -2 * std,
      high: 2 * std,
    });
    this.q = timmLinear({ inFeatures: width, outFeatures: width, generator });
    this.kv = timmLinear({ inFeatures: width, outFeatures: 2 * width, generator });
    this.proj = timmLinear({ inFeatures: width, outFeatures: width, generator });
    this.norm = new LayerNorm({ width, eps });
    this.mlp = mlpOf({ config, generator });
    this.heads = heads;
  }

  /** [B, L, W] → [B, W] */
  forward(x: Tensor): Tensor {
    const [batch, , width] = dims(x, 3);
    const both = this.kv.forward(x);
    const q = expand(this.q.forward(this.latent), [batch, 1, width]);
    const [k, v] = [narrow(both, 2, 0, width), narrow(both, 2, width, width)];
    const y = this.proj.forward(attend(q, k, v, this.heads));
    return squeeze(add(y, this.mlp.forward(this.norm.forward(y))), 1);
  }
}

class PatchEmbed extends Module {
  proj: Conv2d;

  constructor({ config, generator }: PartOptions) {
    super();
    const { width, patchSize } = config;
    this.proj = new Conv2d({
      inChannels: 3,
      outChannels: width,
      kernel: patchSize,
      stride: patchSize,
      generator,
    });
  }
}

/** Patches with positions, blocks, layer norm and pooling, under timm's names. */
class SiglipTrunk extends Module {
  patchEmbed: PatchEmbed;
  posEmbed: Parameter;
  blocks: SiglipBlock[];
  norm: LayerNorm;
  attnPool: AttentionPoolLatent;
  readonly #config: SiglipVitConfig;

  constructor(options: PartOptions) {
    super();
    const { config, generator } = options;
    const { width, layers, normEps: eps } = config;
    this.patchEmbed = new PatchEmbed(options);
    this.posEmbed = truncatedNormalInit(
      new Parameter(zeros([1, siglipGrid(config) ** 2, width])),
      generator,
      { std: 0.02 },
    );
    this.blocks = Array.from({ length: layers }, () => new SiglipBlock(options));
    this.norm = new LayerNorm({ width, eps });
    this.attnPool = new AttentionPoolLatent(options);
    this.#config = config;
  }

  /** [B, 3, S, S] → the vectors of the patches, of those that are kept: [B, L, W] */
  forward(pixels: Tensor, options: ImageEncodeOptions): Tensor {
    const config = this.#config;
    const imageSize = requirePixels(pixels, { config, rules: siglipVit, options });
    const { patchDropout = 0, generator } = options;
    const { patchSize } = config;
    const patches = embedPatches(pixels, this.patchEmbed.proj, patchSize);
    const grid = siglipGrid({ imageSize, patchSize });
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
    if (siglipGrid({ imageSize, patchSize }) >= 1) return;
    throw new BantamError(
      `"imageSize" of "vision" (${imageSize}) has no room for a patch of ${patchSize} pixels.`,
    );
  },
  blocks: /^trunk\.blocks\.(\d+)\./,
  create: (options) => new SiglipVisionTransformer(options),
  flops(config, { embedDim, training, patchDropout = 0 }) {
    const { width, patchSize } = config;
    const patches = siglipGrid(config) ** 2;
    const tokens = training ? keptPatches(patches, patchDropout) : patches;
    const embedding = 2 * patches * width * 3 * patchSize ** 2;
    // Query and output of the pooling, keys and values of all tokens, the query's MLP.
    const pooling =
      4 * width ** 2 +
      4 * tokens * width ** 2 +
      attendFlops({ queries: 1, tokens, width }) +
      4 * width * mlpWidth(config);
    const head = timmHeadFlops(config, { width, embedDim });
    return embedding + transformerFlops({ ...plainBlocks, ...config }, tokens) + pooling + head;
  },
  preprocess: { ...channelStatistics.inception, resizeMode: 'squash' },
  positions: { name: 'trunk.pos_embed', prefix: 0, grid: siglipGrid },
  describe: ({ width, layers, patchSize, imageSize }) =>
    `SigLIP ViT ${width} × ${layers}, patch ${patchSize}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTower(config, timm),
  fromOpenClip: (tower, missing) => readTimmTower(tower, timm, missing),
};
