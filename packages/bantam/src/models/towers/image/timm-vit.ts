import {
  add,
  cat,
  dims,
  expand,
  flatten,
  gelu,
  LayerNorm,
  mean,
  Module,
  mul,
  narrow,
  normalInit,
  Parameter,
  select,
  zeros,
  type Linear,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { resizeGrid } from '../../blocks/grid-positions.js';
import { dropPatches, gridSize, keptPatches } from '../../blocks/patches.js';
import { dropPathRates, runBlock, runBlocks } from '../../blocks/run-block.js';
import {
  checkTransformer,
  mlpWidth,
  plainBlocks,
  transformerFlops,
} from '../../blocks/transformer-config.js';
import {
  requireMultiple,
  type ImageEncoded,
  type ImageEncodeOptions,
  type ImageTower,
  type ImageTowerKind,
  type TowerOptions,
} from '../../tower.js';
import { ConvStem, convStemSizes } from './conv-stem.js';
import { readTimmTowerOf, writeTimmTowerOf } from './open-clip-timm.js';
import { requirePixels } from './pixels.js';
import { TimmHead, timmHeadFlops, timmLinear, TimmMlp } from './timm.js';
import { PatchProjection, TimmBlock, timmParameter } from './timm-vit-blocks.js';
import { timmVitSchema, timmVitTowers, type TimmVitConfig } from './timm-vit-config.js';
import { MbConvStem, mbConvStemSizes } from './vitamin-stem.js';

/** FLOPs of the stem, and the patches along one side. */
function stemSizes({ stem, stemWidth, width, imageSize, patchSize }: TimmVitConfig) {
  if (stem === 'convolutions') return convStemSizes({ width, imageSize });
  if (stem === 'mbconv') return mbConvStemSizes({ stemWidth, width, imageSize });
  const grid = gridSize({ imageSize, patchSize });
  return { flops: 2 * grid ** 2 * width * 3 * patchSize ** 2, grid };
}

/** Tokens before the patches: the class token, if there is one. */
function classTokens({ poolType }: TimmVitConfig): number {
  return poolType === 'tok' ? 1 : 0;
}

/** Rows of the table of positions before those of the patches. */
function positionPrefix(config: TimmVitConfig): number {
  return config.posEmbed === 'all' ? classTokens(config) : 0;
}

/** W₂·(GELU(W₀·LN(x)) ⊙ W₁·LN(x)), with biases (Shazeer 2020, eq. 6; ViTamin, Chen et al. 2024). */
class GegluMlp extends Module {
  norm: LayerNorm;
  w0: Linear;
  w1: Linear;
  w2: Linear;

  constructor({ config, generator }: TrunkOptions) {
    super();
    const { width, normEps: eps } = config;
    const hidden = mlpWidth(config);
    const wide = { inFeatures: width, outFeatures: hidden, generator };
    this.norm = new LayerNorm({ width, eps });
    this.w0 = timmLinear(wide);
    this.w1 = timmLinear(wide);
    this.w2 = timmLinear({ inFeatures: hidden, outFeatures: width, generator });
  }

  /** [B, L, W] → [B, L, W] */
  forward(x: Tensor): Tensor {
    const y = this.norm.forward(x);
    return this.w2.forward(mul(gelu(this.w0.forward(y)), this.w1.forward(y)));
  }
}

type TrunkOptions = Pick<TowerOptions<TimmVitConfig>, 'config' | 'generator'>;

function createStem({ config, generator }: TrunkOptions) {
  const { stem, stemWidth, width, patchSize, preNorm } = config;
  if (stem === 'convolutions') return new ConvStem({ width, generator });
  if (stem === 'mbconv') return new MbConvStem({ stemWidth, width, generator });
  return new PatchProjection({ width, patchSize, bias: !preNorm, generator });
}

/** Stem, positions, blocks, layer norm and the tower's own projection, under timm's names. */
class TimmVitTrunk extends Module {
  patchEmbed: ReturnType<typeof createStem>;
  clsToken: Parameter | null;
  posEmbed: Parameter | null;
  normPre: LayerNorm | null;
  blocks: TimmBlock[];
  norm: LayerNorm | null;
  fcNorm: LayerNorm | null;
  head: Linear | null;
  readonly #config: TimmVitConfig;

  constructor(options: TowerOptions<TimmVitConfig>) {
    super();
    const { config, embedDim, generator } = options;
    const { width, layers, heads, normEps, qkvBias, lsInitValue: layerScale } = config;
    const norm = (present: boolean) => (present ? new LayerNorm({ width, eps: normEps }) : null);
    const positions = positionPrefix(config) + stemSizes(config).grid ** 2;
    const sizes = { width, hidden: mlpWidth(config), generator };
    const mlp = () => (config.mlp === 'gelu' ? new TimmMlp(sizes) : new GegluMlp(options));
    const rates = dropPathRates([layers], config.dropPath).flat();
    this.patchEmbed = createStem(options);
    this.clsToken =
      classTokens(config) === 0
        ? null
        : normalInit(new Parameter(zeros([1, 1, width])), generator, { std: 1e-6 });
    this.posEmbed =
      config.posEmbed === 'none' ? null : timmParameter([1, positions, width], generator);
    this.normPre = norm(config.preNorm);
    this.blocks = rates.map(
      (dropPath) =>
        new TimmBlock({ width, heads, normEps, qkvBias, layerScale, dropPath, mlp, generator }),
    );
    this.norm = norm(!config.finalLnAfterPool);
    this.fcNorm = norm(config.finalLnAfterPool);
    this.head =
      config.proj === 'own'
        ? timmLinear({ inFeatures: width, outFeatures: embedDim, generator })
        : null;
    this.#config = config;
  }

  /** [B, 3, S, S] → the class token's vector, if there is one, and those of the kept patches: [B, L, W] */
  forward(pixels: Tensor, options: ImageEncodeOptions): Tensor {
    const { generator } = options;
    const embedded = this.#embed(pixels, options);
    const x = this.normPre === null ? embedded : this.normPre.forward(embedded);
    const y = runBlocks(this.blocks, x, (block, tokens) => block.forward(tokens, generator));
    return this.norm === null ? y : this.norm.forward(y);
  }

  /** The image's vector of the tokens' vectors. */
  pool(tokens: Tensor): Tensor {
    const pooled = this.clsToken === null ? mean(tokens, { dim: 1 }) : select(tokens, 1, 0);
    return this.fcNorm === null ? pooled : this.fcNorm.forward(pooled);
  }

  #embed(pixels: Tensor, options: ImageEncodeOptions): Tensor {
    const config = this.#config;
    const imageSize = requirePixels(pixels, { config, rules: timmVit, options });
    const { patchDropout = 0, generator } = options;
    const map = runBlock((x: Tensor) => this.patchEmbed.forward(x), pixels);
    const patches = map.shape.length === 4 ? flatten(map, { start: 1, end: 2 }) : map;
    const positions = this.#positions({ ...config, imageSize });
    const prefix = positionPrefix(config);
    const count = patches.dim(1);
    const placed = positions === null ? patches : add(patches, narrow(positions, 1, prefix, count));
    const kept = dropPatches(placed, { fraction: this.training ? patchDropout : 0, generator });
    if (this.clsToken === null) return kept;
    const [batch, , width] = dims(kept, 3);
    const token =
      positions === null || prefix === 0
        ? this.clsToken
        : add(this.clsToken, narrow(positions, 1, 0, 1));
    return cat([expand(token, [batch, 1, width]), kept], 1);
  }

  /** The table of positions for images of that size. */
  #positions(config: TimmVitConfig): Tensor | null {
    if (this.posEmbed === null) return null;
    const { grid } = stemSizes(config);
    return resizeGrid(this.posEmbed, { prefix: positionPrefix(config), grid });
  }
}

/**
 * Timm's vision transformer inside OpenCLIP: with a class token or the mean of the patches, with a
 * product for each patch or the convolutions of MobileCLIP-B or ViTamin before the blocks.
 */
export class TimmVisionTransformer extends Module implements ImageTower {
  trunk: TimmVitTrunk;
  head: TimmHead;
  readonly config: TimmVitConfig;

  constructor(options: TowerOptions<TimmVitConfig>) {
    super();
    const { config, embedDim, generator } = options;
    this.config = config;
    this.trunk = new TimmVitTrunk(options);
    this.head = new TimmHead({ config, width: config.width, embedDim, generator });
  }

  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    const { trunk, config } = this;
    const tokens = trunk.forward(pixels, options);
    const representation = trunk.pool(tokens);
    const prefix = classTokens(config);
    return {
      pooled: this.head.forward(trunk.head?.forward(representation) ?? representation),
      representation,
      tokens: options.tokens === true ? narrow(tokens, 1, prefix, tokens.dim(1) - prefix) : null,
    };
  }
}

/** Timm's vision transformers. */
export const timmVit: ImageTowerKind<typeof timmVitSchema> = {
  type: 'timm-vit',
  schema: timmVitSchema,
  check(config) {
    requireMultiple(config, 'width', 'heads', 'vision');
    checkTransformer({ ...plainBlocks, ...config, geluTanh: false }, 'vision');
    timmVit.checkImageSize(config, config.imageSize);
    if (config.stem === 'convolutions' && config.width % 4 !== 0) {
      throw new BantamError(
        `"width" of "vision" (${config.width}) must be a multiple of 4 for the stem "convolutions".`,
      );
    }
  },
  dropsPatches: true,
  checkImageSize(config, imageSize) {
    if (stemSizes({ ...config, imageSize }).grid >= 1) return;
    throw new BantamError(
      `"imageSize" of "vision" (${imageSize}) is too small for the stem "${config.stem}".`,
    );
  },
  blocks: /^trunk\.blocks\.(\d+)\./,
  create: (options) => new TimmVisionTransformer(options),
  flops(config, { embedDim, training, patchDropout = 0 }) {
    const { width, proj } = config;
    const { flops, grid } = stemSizes(config);
    const patches = grid ** 2;
    const tokens = classTokens(config) + (training ? keptPatches(patches, patchDropout) : patches);
    // A gated MLP has three products in place of two.
    const gate = config.mlp === 'geglu' ? 2 * tokens * width * mlpWidth(config) : 0;
    const blocks = transformerFlops({ ...plainBlocks, ...config, geluTanh: false }, tokens);
    const own = proj === 'own' ? 2 * width * embedDim : 0;
    const head = own + timmHeadFlops(config, { width, embedDim });
    return flops + blocks + config.layers * gate + head;
  },
  positions: { name: 'trunk.pos_embed', prefix: positionPrefix, grid: (c) => stemSizes(c).grid },
  describe: ({ width, layers, imageSize, stem, patchSize }) => {
    const kinds = {
      patches: `patch ${patchSize}`,
      convolutions: 'conv stem',
      mbconv: 'MBConv stem',
    };
    return `ViT (timm) ${width} × ${layers}, ${kinds[stem]}, ${imageSize} px`;
  },
  toOpenClip: (config) => writeTimmTowerOf(config, timmVitTowers),
  fromOpenClip: (tower, missing) => readTimmTowerOf(tower, timmVitTowers, missing),
};
