import {
  add,
  cat,
  Conv2d,
  dims,
  expand,
  LayerNorm,
  matmul,
  mean,
  Module,
  narrow,
  normalInit,
  Parameter,
  reshape,
  select,
  tensor,
  TensorBuffer,
  to,
  zeros,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../../base/errors.js';
import { count, flag, fraction, group, oneOf, setting } from '../../../base/schema.js';
import {
  AttentionalPooler,
  attentionalPoolerFlops,
  type AttentionalPoolerSizes,
} from '../../blocks/cross-attention.js';
import { resizeGrid, sinCosPositions } from '../../blocks/grid-positions.js';
import { dropPatches, embedPatches, gridSize, keptPatches } from '../../blocks/patches.js';
import {
  checkTransformer,
  describeBlocks,
  isPlain,
  transformerEntries,
  transformerFlops,
} from '../../blocks/transformer-config.js';
import { Transformer } from '../../blocks/transformer.js';
import {
  imageSizeSetting,
  requireMultiple,
  sumOf,
  type ConfigOf,
  type ImageEncoded,
  type ImageEncodeOptions,
  type ImageTower,
  type ImageTowerKind,
  type TowerOptions,
} from '../../tower.js';
import { readTransformer, writeTransformer } from '../open-clip-members.js';
import { requirePixels } from './pixels.js';

/** Settings of CLIP's image tower. */
const vitSchema = group({
  type: v.optional(v.literal('vit'), 'vit'),
  imageSize: imageSizeSetting(224),
  patchSize: setting(count(), 16, 'Side length of a square patch in pixels.'),
  width: setting(count(), 768, "Length of a token's vector."),
  headWidth: setting(count(), 64, 'Width of one attention head.'),
  ...transformerEntries,
  patchDropout: setting(
    fraction(),
    0,
    'Fraction of the patches that training drops from each image (FLIP, Li et al. 2023).',
  ),
  noLnPre: setting(flag(), false, 'Leave out the layer norm before the first block.'),
  posEmbedType: setting(
    oneOf('learnable', 'sin_cos_2d'),
    'learnable',
    'Learned positions, or fixed ones of sines and cosines.',
  ),
  poolType: setting(
    oneOf('tok', 'avg'),
    'tok',
    "The image's vector: the class token, or the mean of the patches.",
  ),
  finalLnAfterPool: setting(
    flag(),
    false,
    'Pool before the last layer norm; no effect with attentional pooling.',
  ),
  attentionalPool: setting(
    v.union(
      [v.boolean(), v.picklist(['parallel', 'cascade'])],
      'true, false, "parallel" or "cascade"',
    ),
    false,
    "Pool by learned queries that attend to all tokens (CoCa, Yu et al. 2022). `true`: one set of queries, pooled by `poolType`; `parallel`, `cascade`: a query of its own for the image's vector, on the tokens or on the output of the first set.",
  ),
  attnPoolerQueries: setting(count(), 256, 'Number of queries of attentional pooling.'),
  attnPoolerHeads: setting(count(), 8, 'Attention heads of attentional pooling.'),
});

/** A vision transformer (Dosovitskiy et al. 2021) as CLIP has it (Radford et al. 2021). */
export type VitConfig = ConfigOf<typeof vitSchema>;

/** Attention heads of the image tower. */
export function visionHeads({ width, headWidth }: VitConfig): number {
  return width / headWidth;
}

/** The poolers of attentional pooling: the one of many queries, and that of the feature alone. */
export function poolers(
  { width, attentionalPool, attnPoolerQueries, attnPoolerHeads }: VitConfig,
  embedDim: number,
): AttentionalPoolerSizes[] {
  if (attentionalPool === false) return [];
  const sizes = { width: embedDim, contextWidth: width, heads: attnPoolerHeads };
  const many = { ...sizes, queries: attnPoolerQueries };
  return attentionalPool === true ? [many] : [many, { ...sizes, queries: 1 }];
}

/** An image's vector [B, W], and those of its parts [B, L, W]. */
interface Pooled {
  pooled: Tensor;
  parts: Tensor;
}

/** The first vector or the mean of the others, and the others. */
function poolVectors(x: Tensor, poolType: 'tok' | 'avg'): Pooled {
  const parts = narrow(x, 1, 1, x.dim(1) - 1);
  return { pooled: poolType === 'tok' ? select(x, 1, 0) : mean(parts, { dim: 1 }), parts };
}

/** Fixed positions [1 + G², W], zero for the class token. */
function fixedPositions(config: VitConfig): Tensor {
  const grid = gridSize(config);
  const { width } = config;
  const patches = tensor(sinCosPositions(grid, width));
  return cat([zeros([1, width]), reshape(patches, [grid ** 2, width])]);
}

/**
 * CLIP's image tower, a vision transformer (Radford et al. 2021, section 2.4; Dosovitskiy et al.
 * 2021): patches and a class token plus positions, layer norm, blocks, layer norm, projection.
 *
 * Equal to OpenCLIP; `conv1` has the weight of a convolution, but is one matrix product
 * over the patches, whose gradient is several times cheaper.
 */
export class VisionTransformer extends Module implements ImageTower {
  conv1: Conv2d;
  classEmbedding: Parameter;
  /** Fixed positions are no parameter. */
  positionalEmbedding: Parameter | TensorBuffer;
  lnPre: LayerNorm | null;
  transformer: Transformer;
  attnPool: AttentionalPooler | null;
  attnPoolContrastive: AttentionalPooler | null;
  lnPost: LayerNorm;
  proj: Parameter;
  readonly config: VitConfig;

  constructor({ config, embedDim, quickGelu, generator }: TowerOptions<VitConfig>) {
    super();
    const { width, patchSize, normEps: eps } = config;
    const std = width ** -0.5;
    const parameter = (shape: readonly number[]) =>
      normalInit(new Parameter(zeros(shape)), generator, { std });
    this.config = config;
    this.conv1 = new Conv2d({
      inChannels: 3,
      outChannels: width,
      kernel: patchSize,
      stride: patchSize,
      bias: false,
      generator,
    });
    this.classEmbedding = parameter([width]);
    this.positionalEmbedding =
      config.posEmbedType === 'learnable'
        ? parameter([gridSize(config) ** 2 + 1, width])
        : new TensorBuffer(fixedPositions(config));
    this.lnPre = config.noLnPre ? null : new LayerNorm({ width, eps });
    this.transformer = new Transformer({
      config,
      heads: visionHeads(config),
      quickGelu,
      generator,
    });
    const [pool = null, contrastive = null] = poolers(config, embedDim).map(
      (sizes) => new AttentionalPooler({ ...sizes, generator }),
    );
    this.attnPool = pool;
    this.attnPoolContrastive = contrastive;
    const pooledWidth = pool === null ? width : embedDim;
    this.lnPost = new LayerNorm({ width: pooledWidth, eps });
    this.proj = parameter([pooledWidth, embedDim]);
  }

  /**
   * Normalised pixels [B, 3, S, S] → features [B, embedDim]. Tokens are the patches [B, L, width],
   * or with attentional pooling the queries' outputs, [B, queries, embedDim], less the first where
   * that is the feature's.
   *
   * @throws BantamError if the pixels are not of the expected image size.
   */
  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    const { tokens = false } = options;
    const { poolType } = this.config;
    const embedded = this.#embed(pixels, options);
    const auxiliary: Tensor[] = [];
    const classOnly = this.attnPool === null && poolType === 'tok' && !tokens;
    const positions = classOnly ? 0 : undefined;
    const x = this.transformer.forward(embedded, { positions, auxiliary });
    const { pooled, parts } =
      this.attnPool === null ? this.#pool(x) : this.#attend(x, this.attnPool, tokens);
    return {
      pooled: matmul(pooled, this.proj),
      representation: pooled,
      tokens: tokens ? parts : null,
      auxiliaryLoss: sumOf(auxiliary),
    };
  }

  /** From the blocks' output, the class token's vector or the mean of the patches'. */
  #pool(output: Tensor): Pooled {
    const { poolType, finalLnAfterPool } = this.config;
    const x = finalLnAfterPool ? output : this.lnPost.forward(output);
    const pooled = poolVectors(x, poolType);
    return {
      ...pooled,
      pooled: finalLnAfterPool ? this.lnPost.forward(pooled.pooled) : pooled.pooled,
    };
  }

  /** From the blocks' output, by queries. */
  #attend(x: Tensor, pool: AttentionalPooler, tokens: boolean): Pooled {
    const { attentionalPool, poolType } = this.config;
    const contrastive = this.attnPoolContrastive;
    if (contrastive === null) {
      const first = poolType === 'tok' && !tokens;
      return poolVectors(this.lnPost.forward(pool.forward(x, { first })), poolType);
    }
    const normed = this.lnPost.forward(x);
    const cascaded = attentionalPool === 'cascade';
    const parts = tokens || cascaded ? pool.forward(normed) : normed;
    return { pooled: select(contrastive.forward(cascaded ? parts : normed), 1, 0), parts };
  }

  /** Class token and patches with their positions: [B, 1 + kept patches, W]. */
  #embed(pixels: Tensor, options: ImageEncodeOptions): Tensor {
    const { config } = this;
    const imageSize = requirePixels(pixels, { config, rules: vit, options });
    const { patchDropout = config.patchDropout, generator } = options;
    const patches = embedPatches(pixels, this.conv1, config.patchSize);
    const { dtype } = patches;
    const [batch, count, width] = dims(patches, 3);
    const positions = to(this.#positions(imageSize), { dtype });
    const classToken = add(to(this.classEmbedding, { dtype }), select(positions, 0, 0));
    const placed = add(patches, narrow(positions, 0, 1, count));
    const kept = dropPatches(placed, { fraction: this.training ? patchDropout : 0, generator });
    const x = cat([expand(classToken, [batch, 1, width]), kept], 1);
    return this.lnPre === null ? x : this.lnPre.forward(x);
  }

  /** The positions of class token and patches for images of that size, [1 + G², W]. */
  #positions(imageSize: number): Tensor {
    const own = this.positionalEmbedding;
    const config = { ...this.config, imageSize };
    if (imageSize === this.config.imageSize || config.posEmbedType === 'learnable') {
      return resizeGrid(own, { prefix: 1, grid: gridSize(config) });
    }
    return to(fixedPositions(config), { device: own.device });
  }
}

/** @throws BantamError if attentional pooling of this configuration cannot be. */
function checkPooling(config: VitConfig, embedDim: number): void {
  const { attentionalPool, attnPoolerHeads, attnPoolerQueries, poolType, width } = config;
  if (attentionalPool === false) return;
  if (embedDim % attnPoolerHeads !== 0) {
    throw new BantamError(
      `"embedDim" (${embedDim}) must be a multiple of "attnPoolerHeads" of "vision" (${attnPoolerHeads}).`,
    );
  }
  if (attentionalPool === true) {
    if (poolType === 'tok' || attnPoolerQueries > 1) return;
    throw new BantamError(
      '"poolType" "avg" of "vision" ignores the first query; set "attnPoolerQueries" to more than 1.',
    );
  }
  // The last layer norm precedes the pooling, and has the features' length.
  if (width === embedDim) return;
  throw new BantamError(
    `With "attentionalPool" "${attentionalPool}" the width of "vision" (${width}) is the length of the features; set "embedDim" (${embedDim}) to it.`,
  );
}

/** CLIP's own image tower. */
export const vit: ImageTowerKind<typeof vitSchema> = {
  type: 'vit',
  schema: vitSchema,
  check(config, { embedDim }) {
    vit.checkImageSize(config, config.imageSize);
    requireMultiple(config, 'width', 'headWidth', 'vision');
    checkTransformer(config, 'vision');
    if (config.posEmbedType === 'sin_cos_2d' && config.width % 4 !== 0) {
      throw new BantamError(
        `"width" of "vision" (${config.width}) must be a multiple of 4 for positions of sines and cosines.`,
      );
    }
    checkPooling(config, embedDim);
  },
  dropsPatches: true,
  checkImageSize(config, imageSize) {
    requireMultiple({ ...config, imageSize }, 'imageSize', 'patchSize', 'vision');
  },
  blocks: /^transformer\.resblocks\.(\d+)\./,
  create: (options) => new VisionTransformer(options),
  flops(config, { embedDim, training, patchDropout = config.patchDropout }) {
    const { width, patchSize } = config;
    const patches = gridSize(config) ** 2;
    const embedding = 2 * patches * width * 3 * patchSize ** 2;
    const tokens = 1 + (training ? keptPatches(patches, patchDropout) : patches);
    const blocks = embedding + transformerFlops(config, tokens);
    if (config.attentionalPool === false) return blocks + 2 * width * embedDim;
    const pooling = poolers(config, embedDim).map((sizes, i) =>
      attentionalPoolerFlops(
        sizes,
        i > 0 && config.attentionalPool === 'cascade' ? config.attnPoolerQueries : tokens,
      ),
    );
    return pooling.reduce((sum, part) => sum + part, blocks + 2 * embedDim ** 2);
  },
  positions: { name: 'positional_embedding', prefix: () => 1, grid: gridSize },
  describe: (config) =>
    `ViT ${describeBlocks(config)}, patch ${config.patchSize}, ${config.imageSize} px`,
  toOpenClip: (config) => (isPlain(config) ? writeTransformer(config, vitSchema.entries) : null),
  fromOpenClip: (tower, missing) =>
    Boolean(tower.timm_model_name) || Array.isArray(tower.layers)
      ? null
      : readTransformer(tower, 'vision_cfg', {
          entries: vitSchema.entries,
          unsupported: {},
          missing,
        }),
};
