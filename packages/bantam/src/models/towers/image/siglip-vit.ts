import {
  add,
  Conv2d,
  LayerNorm,
  Module,
  narrow,
  Parameter,
  shortAttention,
  squeeze,
  truncatedNormalInit,
  zeros,
  expand,
  type Generator,
  type Linear,
  type Tensor,
} from '@bantam/torch';
import { attend } from '../../blocks/attention.js';
import { dropPatches, embedPatches } from '../../blocks/patches.js';
import { resizeGrid } from '../../blocks/grid-positions.js';
import { runBlocks } from '../../blocks/run-block.js';
import { mlpWidth } from '../../blocks/transformer-config.js';
import { requirePixels } from './pixels.js';
import type { ImageEncoded, ImageEncodeOptions, ImageTower, TowerOptions } from '../../tower.js';
import { siglipGrid, siglipPictures, type SiglipVitConfig } from './siglip-vit-config.js';
import { TimmHead } from './timm.js';
import { timmLinear } from './timm-init.js';
import { TimmMlp } from './timm-mlp.js';

/** What the parts of the tower are made from. */
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
    const [batch, , width] = x.shape as [number, number, number];
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
    const imageSize = requirePixels(pixels, { config, rules: siglipPictures, options });
    const { patchDropout = 0, generator } = options;
    const { patchSize } = config;
    const patches = embedPatches(pixels, this.patchEmbed.proj, patchSize);
    const grid = siglipGrid({ imageSize, patchSize });
    const placed = add(patches, resizeGrid(this.posEmbed, { prefix: 0, grid }));
    const kept = dropPatches(placed, { share: this.training ? patchDropout : 0, generator });
    return this.norm.forward(runBlocks(this.blocks, kept, (block, x) => block.forward(x)));
  }
}

/**
 * SigLIP's image tower (Zhai et al. 2023): a vision transformer without class token, pooled by
 * attention. Computes what timm's `vit_*_siglip_*` inside OpenCLIP computes.
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
