import {
  add,
  BatchNorm2d,
  bmm,
  Module,
  mul,
  permute,
  reshape,
  scope,
  softmax,
  transpose,
  unbind,
  type Generator,
  type Linear,
  type Tensor,
} from '@bantam/torch';
import { dropPath } from '../../blocks/drop-path.js';
import { ConvMlp, MapScale, RepMixerBlock } from '../../blocks/rep-mixer.js';
import {
  largeKernel,
  smallKernel,
  type MobileClipConfig,
  type MobileClipStageSizes,
} from './mobileclip-config.js';
import { MapSasPBlock } from './mobileclip-sas-p.js';
import { timmLinear } from './timm-init.js';

/** Options of a block of a MobileCLIP tower. */
export interface MobileClipBlockOptions {
  config: MobileClipConfig;
  stage: MobileClipStageSizes;
  /** Probability by which training skips a branch for a picture. */
  dropPath: number;
  /** The block before it in the stage. */
  before: MobileClipBlock | undefined;
  /** Draws the initial weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** A block: maps [B, W, G, G] → [B, W, G, G]; `generator` is for what training draws. */
export interface MobileClipBlock extends Module {
  forward(x: Tensor, generator?: Generator): Tensor;
}

/** The block that a stage is made of: the one place where its kind is chosen. */
export function createMobileClipBlock(options: MobileClipBlockOptions): MobileClipBlock {
  const { config, stage, dropPath: rate, generator } = options;
  if (stage.attention) {
    return config.attention === 'sas-p' ? new MapSasPBlock(options) : new AttentionBlock(options);
  }
  return new RepMixerBlock({
    width: stage.width,
    hidden: stage.hidden,
    kernel: [smallKernel, smallKernel],
    mlpKernel: [largeKernel, largeKernel],
    layerScale: config.layerScale,
    activation: 'gelu',
    fused: config.fused,
    dropPath: rate,
    generator,
  });
}

/** softmax(q·kᵀ/√d)·v between all places of a map, per head; q, k and v without biases. */
class MapAttention extends Module {
  qkv: Linear;
  proj: Linear;
  readonly heads: number;

  constructor({ config, stage, generator }: MobileClipBlockOptions) {
    super();
    const { width } = stage;
    this.qkv = timmLinear({ inFeatures: width, outFeatures: 3 * width, bias: false, generator });
    this.proj = timmLinear({ inFeatures: width, outFeatures: width, generator });
    this.heads = width / config.headWidth;
  }

  /** [B, W, G, G] → [B, W, G, G] */
  forward(x: Tensor): Tensor {
    const [batch, width, ...edges] = x.shape as [number, number, number, number];
    const { heads } = this;
    const depth = width / heads;
    const places = transpose(reshape(x, [batch, width, -1]), 1, 2);
    const length = places.dim(1);
    const parts = reshape(this.qkv.forward(places), [batch, length, 3, heads, depth]);
    const [q, k, v] = unbind(permute(parts, [2, 0, 3, 1, 4]), 0).map((part) =>
      reshape(part, [batch * heads, length, depth]),
    ) as [Tensor, Tensor, Tensor];
    const weights = softmax(bmm(mul(q, depth ** -0.5), transpose(k, 1, 2)), -1);
    const mixed = permute(reshape(bmm(weights, v), [batch, heads, length, depth]), [0, 2, 1, 3]);
    const projected = this.proj.forward(reshape(mixed, [batch, length, width]));
    return reshape(transpose(projected, 1, 2), [batch, width, ...edges]);
  }
}

/** y = x + γ₁·attention(norm(x)), then y + γ₂·MLP(y), by batch norm and {@link ConvMlp}. */
class AttentionBlock extends Module implements MobileClipBlock {
  norm: BatchNorm2d;
  tokenMixer: MapAttention;
  layerScale_1: MapScale;
  mlp: ConvMlp;
  layerScale_2: MapScale;
  readonly #dropPath: number;

  constructor(options: MobileClipBlockOptions) {
    super();
    const { config, stage, generator } = options;
    const { width, hidden } = stage;
    const scale = { width, value: config.layerScale };
    this.norm = new BatchNorm2d({ channels: width });
    this.tokenMixer = new MapAttention(options);
    this.layerScale_1 = new MapScale(scale);
    this.mlp = new ConvMlp({
      width,
      hidden,
      kernel: [largeKernel, largeKernel],
      activation: 'gelu',
      generator,
    });
    this.layerScale_2 = new MapScale(scale);
    this.#dropPath = options.dropPath;
  }

  forward(x: Tensor, generator?: Generator): Tensor {
    return scope(() => {
      const rate = this.training ? this.#dropPath : 0;
      const attended = this.layerScale_1.forward(this.tokenMixer.forward(this.norm.forward(x)));
      const y = add(x, dropPath(attended, { rate, generator }));
      return add(y, dropPath(this.layerScale_2.forward(this.mlp.forward(y)), { rate, generator }));
    });
  }
}
