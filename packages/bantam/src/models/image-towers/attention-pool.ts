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
import { resizeGrid } from '../blocks/resize-grid.js';

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
    const split = (y: Tensor) => {
      const parts = reshape(y, [batch, y.dim(1), heads, width / heads]);
      return reshape(permute(parts, [0, 2, 1, 3]), [batch * heads, y.dim(1), width / heads]);
    };
    const q = split(this.qProj.forward(narrow(x, 1, 0, 1)));
    const [k, v] = [split(this.kProj.forward(x)), split(this.vProj.forward(x))];
    const scores = bmm(mul(q, (width / heads) ** -0.5), transpose(k, 1, 2));
    return reshape(bmm(softmax(scores, -1), v), [batch, width]);
  }
}
