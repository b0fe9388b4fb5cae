import {
  add,
  cat,
  Conv2d,
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
import { AttentionalPooler } from '../../blocks/attentional-pooler.js';
import { sinCosPositions } from '../../blocks/sin-cos.js';
import { Transformer } from '../../blocks/transformer.js';
import { dropPatches, embedPatches } from '../../blocks/patches.js';
import { resizeGrid } from '../../blocks/grid-positions.js';
import { requirePixels } from './pixels.js';
import {
  sumOf,
  type ImageEncoded,
  type ImageEncodeOptions,
  type ImageTower,
  type TowerOptions,
} from '../../tower.js';
import { gridSize, poolers, visionHeads, vitPictures, type VitConfig } from './vit-config.js';

/** A picture's vector [B, W], and those of its parts [B, L, W]. */
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
 * Computes what OpenCLIP computes; `conv1` has the weight of a convolution, but is one matrix product
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
    const drawn = (shape: readonly number[]) =>
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
    this.classEmbedding = drawn([width]);
    this.positionalEmbedding =
      config.posEmbedType === 'learnable'
        ? drawn([gridSize(config) ** 2 + 1, width])
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
    this.proj = drawn([pooledWidth, embedDim]);
  }

  /**
   * Normalised pixels [B, 3, S, S] → features [B, embedDim]. Tokens are the patches [B, L, width],
   * or under attentional pooling what its queries found, [B, queries, embedDim], less the first where
   * that is the feature's.
   *
   * @throws BantamError when the pixels are not of the expected image size.
   */
  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    const { tokens = false } = options;
    const { poolType } = this.config;
    const embedded = this.#embed(pixels, options);
    const auxiliary: Tensor[] = [];
    const classOnly = this.attnPool === null && poolType === 'tok' && !tokens;
    const places = classOnly ? 0 : undefined;
    const x = this.transformer.forward(embedded, { places, auxiliary });
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
    const imageSize = requirePixels(pixels, { config, rules: vitPictures, options });
    const { patchDropout = config.patchDropout, generator } = options;
    const patches = embedPatches(pixels, this.conv1, config.patchSize);
    const { dtype } = patches;
    const [batch, count, width] = patches.shape as [number, number, number];
    const positions = to(this.#positions(imageSize), { dtype });
    const classToken = add(to(this.classEmbedding, { dtype }), select(positions, 0, 0));
    const placed = add(patches, narrow(positions, 0, 1, count));
    const kept = dropPatches(placed, { share: this.training ? patchDropout : 0, generator });
    const x = cat([expand(classToken, [batch, 1, width]), kept], 1);
    return this.lnPre === null ? x : this.lnPre.forward(x);
  }

  /** The positions of class token and patches for pictures of that size, [1 + G², W]. */
  #positions(imageSize: number): Tensor {
    const own = this.positionalEmbedding;
    const config = { ...this.config, imageSize };
    if (imageSize === this.config.imageSize || config.posEmbedType === 'learnable') {
      return resizeGrid(own, { prefix: 1, grid: gridSize(config) });
    }
    return to(fixedPositions(config), { device: own.device });
  }
}
