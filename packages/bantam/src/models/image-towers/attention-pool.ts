import {
  add,
  bmm,
  cat,
  Linear,
  mean,
  Module,
  mul,
  narrow,
  normalInit,
  Parameter,
  permute,
  reshape,
  softmax,
  to,
  transpose,
  zeros,
  type Generator,
  type Tensor,
} from '@bantam/torch';

/** Options of {@link AttentionPool2d}. */
export interface AttentionPoolOptions {
  /** Edge of the map. */
  grid: number;
  /** Channels of the map. */
  width: number;
  heads: number;
  outFeatures: number;
  generator: Generator | null;
}

/**
 * Pools a map by attention (Radford et al. 2021, section 2.4): its mean asks, the mean and all places
 * answer, each with a learnt position: softmax(q·kᵀ/√d)·v per head, heads joined and projected.
 */
export class AttentionPool2d extends Module {
  positionalEmbedding: Parameter;
  kProj: Linear;
  qProj: Linear;
  vProj: Linear;
  cProj: Linear;
  readonly #heads: number;

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
    this.#heads = heads;
  }

  /** The map's places [B, L, W], row by row → [B, outFeatures]. */
  forward(places: Tensor): Tensor {
    const [batch, , width] = places.shape as [number, number, number];
    const positions = to(this.positionalEmbedding, { dtype: places.dtype });
    const x = add(cat([mean(places, { dim: 1, keepdim: true }), places], 1), positions);
    const heads = this.#heads;
    const split = (y: Tensor) => {
      const parts = reshape(y, [batch, y.dim(1), heads, width / heads]);
      return reshape(permute(parts, [0, 2, 1, 3]), [batch * heads, y.dim(1), width / heads]);
    };
    const q = split(this.qProj.forward(narrow(x, 1, 0, 1)));
    const [k, v] = [split(this.kProj.forward(x)), split(this.vProj.forward(x))];
    const scores = bmm(mul(q, (width / heads) ** -0.5), transpose(k, 1, 2));
    const mixed = reshape(bmm(softmax(scores, -1), v), [batch, width]);
    return this.cProj.forward(mixed);
  }
}
