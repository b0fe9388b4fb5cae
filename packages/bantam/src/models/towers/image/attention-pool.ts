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
  reshape,
  softmax,
  to,
  transpose,
  zeros,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { resizeGrid } from '../../blocks/grid-positions.js';

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
 * answer, each with a learnt position: softmax(q·kᵀ/√d)·v per head, heads joined, and a projection.
 */
export class AttentionPool2d extends Module {
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
   * The places [B, G², W] of a map, row by row → the heads' vectors [B, W], which `cProj` projects.
   * Positions are interpolated where the grid is not the pool's own.
   */
  forward(places: Tensor, { grid }: { grid: number }): Tensor {
    const [batch, , width] = places.shape as [number, number, number];
    const own = resizeGrid(this.positionalEmbedding, { prefix: 1, grid });
    const positions = to(own, { dtype: places.dtype });
    const x = add(cat([mean(places, { dim: 1, keepdim: true }), places], 1), positions);
    const { heads } = this;
    const depth = width / heads;
    // A question q meets all places alone: q·(W_k·x + b_k) = (W_kᵀ·q)·x + q·b_k and Σa·(W_v·x + b_v) =
    // W_v·Σa·x + b_v. So no place is projected. q·b_k is the same for all of them, which softmax takes no
    // notice of; it is there for b_k's gradient, which rounding makes what little it is.
    const q = mul(this.qProj.forward(narrow(x, 1, 0, 1)), depth ** -0.5);
    const byHead = transpose(reshape(q, [batch, heads, depth]), 0, 1);
    const asked = bmm(byHead, reshape(this.kProj.weight, [heads, depth, width]));
    const met = bmm(transpose(asked, 0, 1), transpose(x, 1, 2));
    const { bias } = this.kProj;
    const scores =
      bias === null
        ? met
        : add(met, transpose(bmm(byHead, reshape(bias, [heads, depth, 1])), 0, 1));
    const seen = transpose(bmm(softmax(scores, -1), x), 0, 1);
    const answer = bmm(seen, transpose(reshape(this.vProj.weight, [heads, depth, width]), 1, 2));
    const joined = reshape(transpose(answer, 0, 1), [batch, width]);
    return this.vProj.bias === null ? joined : add(joined, this.vProj.bias);
  }
}
