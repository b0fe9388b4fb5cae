/** Blocks of EVA's vision transformers under timm's names. */
import {
  add,
  cat,
  LayerNorm,
  linear,
  linearPacked,
  Module,
  mul,
  mul_,
  narrow,
  noGrad,
  PackedWeight,
  Parameter,
  sigmoid,
  zeros,
  type Generator,
  type Linear,
  type Tensor,
} from '@bantam/torch';
import { attendHeads, joinHeads, splitHeads } from '../../blocks/attention.js';
import { rotate, type RotaryPositions } from '../../blocks/rotary.js';
import { timmLinear, TimmMlp } from './timm.js';
import { attendJointly } from './timm-vit-blocks.js';

/** Options of {@link EvaBlock} and its parts. */
export interface EvaBlockOptions {
  width: number;
  heads: number;
  /** Hidden units of the MLP. */
  hidden: number;
  normEps: number;
  /** See the setting `block` of the tower. */
  block: 'pre-norm' | 'post-norm' | 'sub-norm';
  /** Keys have a bias as queries and values do. */
  keyBias: boolean;
  generator: Generator | null;
}

/** Attention: [B, L, W] → [B, L, W], with the queries and keys turned if there are positions. */
interface Attention extends Module {
  proj: Linear;
  forward(x: Tensor, positions: RotaryPositions | null): Tensor;
}

/** softmax(q·kᵀ/√d)·v per head of turned queries and keys: [B, L, W] each → [B, L, W]. */
function attendTurned(
  [q, k, v]: readonly [Tensor, Tensor, Tensor],
  heads: number,
  positions: RotaryPositions | null,
): Tensor {
  const split = (x: Tensor) => splitHeads(x, heads);
  const turned = (x: Tensor) => (positions === null ? split(x) : rotate(split(x), positions));
  return joinHeads(attendHeads(turned(q), turned(k), split(v)), heads);
}

/** Attention by one projection to queries, keys and values, whose bias is in two or three parts. */
class JointAttention extends Module implements Attention {
  qkv: Linear;
  /** Biases of queries and values; null: `qkv` has one of all. */
  qBias: Parameter | null;
  vBias: Parameter | null;
  proj: Linear;
  readonly heads: number;

  constructor({ width, heads, keyBias, generator }: EvaBlockOptions) {
    super();
    const bias = () => (keyBias ? null : new Parameter(zeros([width])));
    const outFeatures = 3 * width;
    this.qkv = timmLinear({ inFeatures: width, outFeatures, bias: keyBias, generator });
    this.qBias = bias();
    this.vBias = bias();
    this.proj = timmLinear({ inFeatures: width, outFeatures: width, generator });
    this.heads = heads;
  }

  forward(x: Tensor, positions: RotaryPositions | null): Tensor {
    const { heads } = this;
    const joint = this.#project(x);
    if (positions === null) return this.proj.forward(attendJointly(joint, heads));
    const width = x.dim(2);
    const part = (i: number) => narrow(joint, 2, i * width, width);
    return this.proj.forward(attendTurned([part(0), part(1), part(2)], heads, positions));
  }

  #project(x: Tensor): Tensor {
    const { qkv, qBias, vBias } = this;
    if (qBias === null || vBias === null) return qkv.forward(x);
    const { weight } = qkv;
    const bias = cat([qBias, zeros(qBias.shape, { device: qBias.device }), vBias]);
    return weight instanceof PackedWeight
      ? linearPacked(x, { weight: weight.packed, bias })
      : linear(x, weight, bias);
  }
}

/** Attention by three projections, with a layer norm before the last one (Wang et al. 2022). */
class SubNormAttention extends Module implements Attention {
  qProj: Linear;
  kProj: Linear;
  vProj: Linear;
  norm: LayerNorm;
  proj: Linear;
  readonly heads: number;

  constructor({ width, heads, keyBias, normEps: eps, generator }: EvaBlockOptions) {
    super();
    const made = (bias: boolean) =>
      timmLinear({ inFeatures: width, outFeatures: width, bias, generator });
    this.qProj = made(true);
    this.kProj = made(keyBias);
    this.vProj = made(true);
    this.norm = new LayerNorm({ width, eps });
    this.proj = made(true);
    this.heads = heads;
  }

  forward(x: Tensor, positions: RotaryPositions | null): Tensor {
    const [q, k, v] = [this.qProj.forward(x), this.kProj.forward(x), this.vProj.forward(x)];
    return this.proj.forward(this.norm.forward(attendTurned([q, k, v], this.heads, positions)));
  }
}

/** W₂·LN(SiLU(W_g·x + b_g) ⊙ (W_x·x + b_x)) + b₂: SwiGLU (Shazeer 2020, eq. 6) with a layer norm. */
class SwigluMlp extends Module {
  fc1G: Linear;
  fc1X: Linear;
  norm: LayerNorm;
  fc2: Linear;

  constructor({ width, hidden, normEps: eps, generator }: EvaBlockOptions) {
    super();
    const wide = { inFeatures: width, outFeatures: hidden, generator };
    this.fc1G = timmLinear(wide);
    this.fc1X = timmLinear(wide);
    this.norm = new LayerNorm({ width: hidden, eps });
    this.fc2 = timmLinear({ inFeatures: hidden, outFeatures: width, generator });
  }

  /** [B, L, W] → [B, L, W] */
  forward(x: Tensor): Tensor {
    const gate = this.fc1G.forward(x);
    const gated = mul(mul(gate, sigmoid(gate)), this.fc1X.forward(x));
    return this.fc2.forward(this.norm.forward(gated));
  }
}

/**
 * A residual block. `pre-norm`: y = x + attention(LN₁x), then y + MLP(LN₂y); `post-norm`: the layer
 * norms follow attention and MLP; `sub-norm`: pre-norm with {@link SubNormAttention} and
 * {@link SwigluMlp}.
 */
export class EvaBlock extends Module {
  norm1: LayerNorm;
  attn: Attention;
  norm2: LayerNorm;
  mlp: TimmMlp | SwigluMlp;
  readonly #normsFirst: boolean;

  constructor(options: EvaBlockOptions) {
    super();
    const { width, normEps: eps, block } = options;
    const isSubNorm = block === 'sub-norm';
    this.norm1 = new LayerNorm({ width, eps });
    this.attn = isSubNorm ? new SubNormAttention(options) : new JointAttention(options);
    this.norm2 = new LayerNorm({ width, eps });
    this.mlp = isSubNorm ? new SwigluMlp(options) : new TimmMlp(options);
    this.#normsFirst = block !== 'post-norm';
  }

  /** [B, L, W] → [B, L, W] */
  forward(x: Tensor, positions: RotaryPositions | null): Tensor {
    if (this.#normsFirst) {
      const y = add(x, this.attn.forward(this.norm1.forward(x), positions));
      return add(y, this.mlp.forward(this.norm2.forward(y)));
    }
    const y = add(x, this.norm1.forward(this.attn.forward(x, positions)));
    return add(y, this.norm2.forward(this.mlp.forward(y)));
  }

  /** Divides the weights of the products that end its branches, whose sum grows with the depth. */
  scaleDown(divisor: number): void {
    noGrad(() => {
      for (const { weight } of [this.attn.proj, this.mlp.fc2]) mul_(weight, 1 / divisor);
    });
  }
}
