import {
  add,
  at,
  attentionPool,
  BatchNorm2d,
  bmm,
  cat,
  channelsLast,
  dims,
  Linear,
  mean,
  Module,
  mul,
  narrow,
  normalInit,
  normedConv,
  packConvolution,
  PackedWeight,
  packHeads,
  packPanels,
  packsAttentionPool,
  packWeight,
  Parameter,
  reshape,
  softmax,
  to,
  transpose,
  zeros,
  type Conv2d,
  type FloatDType,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../../base/errors.js';
import { count, group, setting, tupleOf } from '../../../base/schema.js';
import { convFlops } from '../../blocks/convolution.js';
import { resizeGrid } from '../../blocks/grid-positions.js';
import { runBlock, runBlocks } from '../../blocks/run-block.js';
import type { Prepackable } from '../../blocks/prepackable.js';
import {
  imageSizeSetting,
  type ConfigOf,
  type ImageEncoded,
  type ImageEncodeOptions,
  type ImageTower,
  type ImageTowerKind,
  type TowerOptions,
} from '../../tower.js';
import { readMembers } from '../open-clip-members.js';
import {
  bottleneckFlops,
  bottlenecks,
  EXPANSION,
  plainConv,
  pooledMap,
  type Bottleneck,
} from './bottleneck.js';
import { requirePixels, tokensOf } from './pixels.js';

/** Settings of OpenAI's residual network. */
const modifiedResNetSchema = group({
  type: v.literal('modified-resnet'),
  imageSize: imageSizeSetting(224),
  width: setting(
    count(),
    64,
    "Channels of the first stage's inner convolutions; they double from stage to stage.",
  ),
  depths: setting(tupleOf(count(), 4), [3, 4, 6, 3], 'Blocks of each stage.'),
  headWidth: setting(count(), 64, 'Width of one head of the attention pooling.'),
});

/** OpenAI's residual network with attention pooling (Radford et al. 2021, section 2.4). */
export type ModifiedResNetConfig = ConfigOf<typeof modifiedResNetSchema>;

/** Total stride: ratio of the image's side to the last map's. */
export const SHRINK = 32;

/** Channels of the last map. */
export function mapWidth({ width }: ModifiedResNetConfig): number {
  return 32 * width;
}

/** Options of {@link AttentionPool2d}. */
export interface AttentionPoolOptions {
  /** Side length of the map. */
  grid: number;
  /** Channels of the map. */
  width: number;
  heads: number;
  outFeatures: number;
  generator: Generator | null;
}

/**
 * Attention pooling of a map (Radford et al. 2021, section 2.4): its mean is the query, the mean and
 * all locations are keys and values, each with a learned position: softmax(q·kᵀ/√d)·v per head, heads
 * joined, and a projection.
 */
export class AttentionPool2d extends Module implements Prepackable {
  positionalEmbedding: Parameter;
  kProj: Linear;
  qProj: Linear;
  vProj: Linear;
  cProj: Linear;
  readonly heads: number;

  constructor({ grid, width, heads, outFeatures, generator }: AttentionPoolOptions) {
    super();
    const std = width ** -0.5;
    const linear = (size: number) => {
      const layer = new Linear({ inFeatures: width, outFeatures: size, generator });
      normalInit(layer.weight, generator, { std });
      return layer;
    };
    this.positionalEmbedding = normalInit(new Parameter(zeros([grid ** 2 + 1, width])), generator, {
      std,
    });
    this.kProj = linear(width);
    this.qProj = linear(width);
    this.vProj = linear(width);
    this.cProj = linear(outFeatures);
    this.heads = heads;
  }

  /**
   * The locations [B, G², W] of a map, row by row → the heads' vectors [B, W], which `cProj` projects.
   * Positions are interpolated for another grid than the pool's own.
   */
  forward(tokens: Tensor, { grid }: { grid: number }): Tensor {
    const own = resizeGrid(this.positionalEmbedding, { prefix: 1, grid });
    return this.#packed(tokens, own) ?? this.#pool(tokens, own);
  }

  prepack(dtype: FloatDType): void {
    const { heads, kProj, qProj, vProj, cProj } = this;
    if (!packsAttentionPool(qProj.weight.dim(0), heads, dtype)) return;
    qProj.weight = packWeight(qProj.weight, dtype, packPanels);
    kProj.weight = packWeight(kProj.weight, dtype, (weight) =>
      packHeads(weight, { heads, transposed: true }),
    );
    vProj.weight = packWeight(vProj.weight, dtype, (weight) => packHeads(weight, { heads }));
    cProj.weight = packWeight(cProj.weight, dtype, packPanels);
  }

  /** The result of prepacked weights, else null. */
  #packed(tokens: Tensor, positions: Tensor): Tensor | null {
    const [query, keys, values] = [this.qProj.weight, this.kProj.weight, this.vProj.weight];
    const isPacked =
      query instanceof PackedWeight &&
      keys instanceof PackedWeight &&
      values instanceof PackedWeight;
    if (!isPacked) return null;
    return attentionPool(tokens, {
      positions,
      query: { weight: query.packed, bias: this.qProj.bias },
      keys: keys.packed,
      values: { weight: values.packed, bias: this.vProj.bias },
      heads: this.heads,
    });
  }

  #pool(tokens: Tensor, own: Tensor): Tensor {
    const [batch, , width] = dims(tokens, 3);
    const positions = to(own, { dtype: tokens.dtype });
    const x = add(cat([mean(tokens, { dim: 1, keepdim: true }), tokens], 1), positions);
    const { heads } = this;
    const depth = width / heads;
    // There is one query q: q·(W_k·x + b_k) = (W_kᵀ·q)·x + q·b_k, and Σa·(W_v·x + b_v) = W_v·Σa·x + b_v,
    // so that no location needs a projection. q·b_k is the same for all, and softmax ignores it; it is
    // computed for the gradient of b_k, which is rounding alone.
    const q = mul(this.qProj.forward(narrow(x, 1, 0, 1)), depth ** -0.5);
    const byHead = transpose(reshape(q, [batch, heads, depth]), 0, 1);
    const asked = bmm(byHead, reshape(this.kProj.effectiveWeight, [heads, depth, width]));
    const met = bmm(transpose(asked, 0, 1), transpose(x, 1, 2));
    const { bias } = this.kProj;
    const scores =
      bias === null
        ? met
        : add(met, transpose(bmm(byHead, reshape(bias, [heads, depth, 1])), 0, 1));
    const seen = transpose(bmm(softmax(scores, -1), x), 0, 1);
    const answer = bmm(
      seen,
      transpose(reshape(this.vProj.effectiveWeight, [heads, depth, width]), 1, 2),
    );
    const joined = reshape(transpose(answer, 0, 1), [batch, width]);
    return this.vProj.bias === null ? joined : add(joined, this.vProj.bias);
  }
}

/**
 * OpenAI's ModifiedResNet (Radford et al. 2021, section 2.4): three convolutions and a pooling in
 * front, bottlenecks that shrink by average pooling (Zhang 2019), and attention that pools the map.
 * Equal to OpenCLIP; only the pooled vector is a query, as nothing else is used.
 */
export class ModifiedResNet extends Module implements ImageTower, Prepackable {
  conv1: Conv2d;
  bn1: BatchNorm2d;
  conv2: Conv2d;
  bn2: BatchNorm2d;
  conv3: Conv2d;
  bn3: BatchNorm2d;
  layer1: Bottleneck[];
  layer2: Bottleneck[];
  layer3: Bottleneck[];
  layer4: Bottleneck[];
  attnpool: AttentionPool2d;
  readonly config: ModifiedResNetConfig;

  constructor({ config, embedDim, generator }: TowerOptions<ModifiedResNetConfig>) {
    super();
    const { width, depths, imageSize, headWidth } = config;
    const half = width / 2;
    this.config = config;
    this.conv1 = plainConv({ inChannels: 3, outChannels: half, kernel: 3, stride: 2, generator });
    this.bn1 = new BatchNorm2d({ channels: half });
    this.conv2 = plainConv({ inChannels: half, outChannels: half, kernel: 3, generator });
    this.bn2 = new BatchNorm2d({ channels: half });
    this.conv3 = plainConv({ inChannels: half, outChannels: width, kernel: 3, generator });
    this.bn3 = new BatchNorm2d({ channels: width });
    const stage = (i: number) =>
      bottlenecks(at(depths, i), {
        inChannels: i === 0 ? width : EXPANSION * width * 2 ** (i - 1),
        width: width * 2 ** i,
        stride: i === 0 ? 1 : 2,
        antialias: true,
        heInit: false,
        generator,
      });
    this.layer1 = stage(0);
    this.layer2 = stage(1);
    this.layer3 = stage(2);
    this.layer4 = stage(3);
    this.attnpool = new AttentionPool2d({
      grid: imageSize / SHRINK,
      width: mapWidth(config),
      heads: mapWidth(config) / headWidth,
      outFeatures: embedDim,
      generator,
    });
  }

  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    const { config } = this;
    const imageSize = requirePixels(pixels, { config, rules: modifiedResNet, options });
    const blocks = [...this.layer1, ...this.layer2, ...this.layer3, ...this.layer4];
    const map = runBlocks(blocks, this.#stem(pixels), (block, x) => block.forward(x));
    const tokens = tokensOf(map);
    const representation = this.attnpool.forward(tokens, { grid: imageSize / SHRINK });
    return {
      pooled: this.attnpool.cProj.forward(representation),
      representation,
      tokens: options.tokens === true ? tokens : null,
    };
  }

  prepack(dtype: FloatDType): void {
    packConvolution(this.conv1, { norm: this.bn1, dtype });
    packConvolution(this.conv2, { norm: this.bn2, dtype });
    packConvolution(this.conv3, { norm: this.bn3, dtype });
  }

  /** [B, 3, S, S] → [B, width, S/4, S/4] */
  #stem(pixels: Tensor): Tensor {
    return runBlock((pixels: Tensor) => {
      const relu = true;
      let x = normedConv(channelsLast(pixels), [this.conv1, this.bn1], { relu });
      x = normedConv(x, [this.conv2, this.bn2], { relu });
      x = normedConv(x, [this.conv3, this.bn3], { relu });
      return pooledMap(x, 2, this.conv3);
    }, pixels);
  }
}

function stemFlops({ width, imageSize }: ModifiedResNetConfig): number {
  const out = imageSize / 2;
  const conv = (inChannels: number, outChannels: number) =>
    convFlops({ inChannels, outChannels, kernel: 3, out });
  return conv(3, width / 2) + conv(width / 2, width / 2) + conv(width / 2, width);
}

function stagesFlops({ width, depths, imageSize }: ModifiedResNetConfig): number {
  return depths
    .map((depth, i) =>
      bottleneckFlops({
        depth,
        inChannels: i === 0 ? width : EXPANSION * width * 2 ** (i - 1),
        width: width * 2 ** i,
        stride: i === 0 ? 1 : 2,
        antialias: true,
        grid: imageSize / 4 / (i === 0 ? 1 : 2 ** (i - 1)),
      }),
    )
    .reduce((sum, part) => sum + part, 0);
}

/** Query, key and value matrices for one query, its attention to all locations, and the projection. */
function poolFlops(config: ModifiedResNetConfig, embedDim: number): number {
  const width = mapWidth(config);
  const heads = width / config.headWidth;
  const length = (config.imageSize / SHRINK) ** 2 + 1;
  return 6 * width ** 2 + 4 * heads * length * width + 2 * width * (embedDim + 1);
}

/** OpenAI's residual networks. */
export const modifiedResNet: ImageTowerKind<typeof modifiedResNetSchema> = {
  type: 'modified-resnet',
  schema: modifiedResNetSchema,
  check(config) {
    const { imageSize, width, headWidth } = config;
    modifiedResNet.checkImageSize(config, imageSize);
    if (width % 2 === 0 && mapWidth(config) % headWidth === 0) return;
    throw new BantamError(
      `"width" of "vision" (${width}) must be even, and 32 times it a multiple of "headWidth" (${headWidth}).`,
    );
  },
  checkImageSize(_, imageSize) {
    if (imageSize % SHRINK === 0) return;
    throw new BantamError(
      `"imageSize" of "vision" (${imageSize}) must be a multiple of ${SHRINK}, by which the tower shrinks images.`,
    );
  },
  blocks: /^layer(\d)\.(\d+)\./,
  create: (options) => new ModifiedResNet(options),
  flops: (config, { embedDim }) =>
    stemFlops(config) + stagesFlops(config) + poolFlops(config, embedDim),
  positions: {
    name: 'attnpool.positional_embedding',
    prefix: () => 1,
    grid: ({ imageSize }) => imageSize / SHRINK,
  },
  describe: ({ width, depths, imageSize }) =>
    `ModifiedResNet ${width} × ${depths.join('-')}, ${imageSize} px`,
  toOpenClip: ({ imageSize, width, depths, headWidth }) => ({
    image_size: imageSize,
    layers: depths,
    width,
    patch_size: null,
    ...(headWidth !== v.getDefault(modifiedResNetSchema.entries.headWidth) && {
      head_width: headWidth,
    }),
  }),
  fromOpenClip(tower, missing) {
    const { layers: depths, ...rest } = tower;
    if (!Array.isArray(depths)) return null;
    const { imageSize, width, headWidth } = modifiedResNetSchema.entries;
    const members = readMembers(rest, 'vision_cfg', {
      entries: { imageSize, width, headWidth },
      // A residual network has no patches.
      unsupported: { patch_size: rest.patch_size },
      missing,
    });
    return { ...members, depths: depths as unknown };
  },
};
