import {
  add,
  cat,
  Conv2d,
  expand,
  gather,
  LayerNorm,
  matmul,
  mean,
  Module,
  narrow,
  normalInit,
  Parameter,
  randn,
  reshape,
  select,
  tensor,
  TensorBuffer,
  to,
  topk,
  unsqueeze,
  zeros,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../errors.js';
import { AttentionalPooler } from '../blocks/attentional-pooler.js';
import { sinCosPositions } from '../blocks/sin-cos.js';
import { Transformer } from '../blocks/transformer.js';
import { embedPatches } from '../blocks/patches.js';
import { requirePixels } from '../pixels.js';
import {
  sumOf,
  type Encoded,
  type ImageEncodeOptions,
  type ImageTower,
  type TowerOptions,
} from '../tower.js';
import { gridSize, keptPatches, poolers, visionHeads, type VitConfig } from './vit-config.js';

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
   * @throws BantamError when the pixels are not of the model's image size.
   */
  encode(pixels: Tensor, { tokens = false, generator }: ImageEncodeOptions = {}): Encoded {
    const { poolType } = this.config;
    const embedded = this.#embed(pixels, generator);
    const auxiliary: Tensor[] = [];
    const classOnly = this.attnPool === null && poolType === 'tok' && !tokens;
    const places = classOnly ? 0 : undefined;
    const x = this.transformer.forward(embedded, { places, auxiliary });
    const { pooled, parts } =
      this.attnPool === null ? this.#pool(x) : this.#attend(x, this.attnPool, tokens);
    return {
      pooled: matmul(pooled, this.proj),
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
  #embed(pixels: Tensor, generator: Generator | undefined): Tensor {
    requirePixels(pixels, this.config);
    const patches = embedPatches(pixels, this.conv1, this.config.patchSize);
    const { dtype } = patches;
    const [batch, count, width] = patches.shape as [number, number, number];
    const positions = to(this.positionalEmbedding, { dtype });
    const classToken = add(to(this.classEmbedding, { dtype }), select(positions, 0, 0));
    const placed = add(patches, narrow(positions, 0, 1, count));
    const kept = this.#dropPatches(placed, generator);
    const x = cat([expand(classToken, [batch, 1, width]), kept], 1);
    return this.lnPre === null ? x : this.lnPre.forward(x);
  }

  /** While training, a random subset of each picture's patches (Li et al. 2023, section 3). */
  #dropPatches(patches: Tensor, generator: Generator | undefined): Tensor {
    const { patchDropout } = this.config;
    if (!this.training || patchDropout === 0) return patches;
    if (generator === undefined) {
      throw new BantamError(
        'Patch dropout needs a random stream; pass a generator to encodeImage.',
      );
    }
    const [batch, count, width] = patches.shape as [number, number, number];
    const kept = keptPatches(count, this.config);
    const { indices } = topk(randn([batch, count], generator, { device: patches.device }), kept);
    return gather(patches, 1, expand(unsqueeze(indices, -1), [batch, kept, width]));
  }
}
