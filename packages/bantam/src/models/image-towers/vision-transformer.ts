import {
  add,
  cat,
  Conv2d,
  expand,
  gather,
  LayerNorm,
  linear,
  matmul,
  mean,
  Module,
  narrow,
  normalInit,
  Parameter,
  permute,
  randn,
  reshape,
  select,
  to,
  topk,
  unsqueeze,
  zeros,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../errors.js';
import { Transformer } from '../blocks/transformer.js';
import { requirePixels } from '../pixels.js';
import {
  sumOf,
  type Encoded,
  type ImageEncodeOptions,
  type ImageTower,
  type TowerOptions,
} from '../tower.js';
import { gridSize, keptPatches, visionHeads, type VitConfig } from './vit-config.js';

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
  positionalEmbedding: Parameter;
  lnPre: LayerNorm | null;
  transformer: Transformer;
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
    this.positionalEmbedding = drawn([gridSize(config) ** 2 + 1, width]);
    this.lnPre = config.noLnPre ? null : new LayerNorm({ width, eps });
    this.transformer = new Transformer({
      config,
      heads: visionHeads(config),
      quickGelu,
      generator,
    });
    this.lnPost = new LayerNorm({ width, eps });
    this.proj = drawn([width, embedDim]);
  }

  /**
   * Normalised pixels [B, 3, S, S] → features [B, embedDim].
   *
   * @throws BantamError when the pixels are not of the model's image size.
   */
  encode(pixels: Tensor, { tokens = false, generator }: ImageEncodeOptions = {}): Encoded {
    const { poolType, finalLnAfterPool } = this.config;
    const embedded = this.#embed(pixels, generator);
    const classOnly = poolType === 'tok' && !tokens;
    const auxiliary: Tensor[] = [];
    let x = this.transformer.forward(embedded, { places: classOnly ? 0 : undefined, auxiliary });
    if (!finalLnAfterPool) x = this.lnPost.forward(x);
    const patches = narrow(x, 1, 1, x.dim(1) - 1);
    let pooled = poolType === 'tok' ? select(x, 1, 0) : mean(patches, { dim: 1 });
    if (finalLnAfterPool) pooled = this.lnPost.forward(pooled);
    return {
      pooled: matmul(pooled, this.proj),
      tokens: tokens ? patches : null,
      auxiliaryLoss: sumOf(auxiliary),
    };
  }

  /** Class token and patches with their positions: [B, 1 + kept patches, W]. */
  #embed(pixels: Tensor, generator: Generator | undefined): Tensor {
    const patches = this.#patches(pixels);
    const { dtype } = patches;
    const [batch, count, width] = patches.shape as [number, number, number];
    const positions = to(this.positionalEmbedding, { dtype });
    const classToken = add(to(this.classEmbedding, { dtype }), select(positions, 0, 0));
    const placed = add(patches, narrow(positions, 0, 1, count));
    const kept = this.#dropPatches(placed, generator);
    const x = cat([expand(classToken, [batch, 1, width]), kept], 1);
    return this.lnPre === null ? x : this.lnPre.forward(x);
  }

  /** The convolution whose stride is its kernel: each patch's pixels times one matrix. */
  #patches(pixels: Tensor): Tensor {
    const { patchSize, width } = this.config;
    requirePixels(pixels, this.config);
    const batch = pixels.dim(0);
    const grid = gridSize(this.config);
    const cut = reshape(pixels, [batch, 3, grid, patchSize, grid, patchSize]);
    const rows = reshape(permute(cut, [0, 2, 4, 1, 3, 5]), [batch, grid ** 2, 3 * patchSize ** 2]);
    return linear(rows, reshape(this.conv1.weight, [width, 3 * patchSize ** 2]));
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
