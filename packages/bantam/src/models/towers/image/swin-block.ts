import type { Linear } from '@bantam/torch';
import {
  add,
  LayerNorm,
  Module,
  narrow,
  pad,
  permute,
  reshape,
  roll,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { dropPath } from '../../blocks/drop-path.js';
import { windowsPerEdge, type SwinStageSizes } from './swin-config.js';
import { timmLinear } from './timm-init.js';
import { TimmMlp } from './timm-mlp.js';
import { WindowAttention } from './swin-blocks.js';

/** Options of {@link SwinBlock}. */
export interface SwinBlockOptions {
  stage: SwinStageSizes;
  mlpRatio: number;
  shifted: boolean;
  /** Probability by which training skips a branch for a picture. */
  dropPath: number;
  generator: Generator | null;
}

/**
 * y = x + attention(LN₁x) within windows, then y + MLP(LN₂y) (Liu et al. 2021, eq. 3). In every
 * second block the windows are moved by half their edge, cyclically, so that tokens meet others.
 */
export class SwinBlock extends Module {
  norm1: LayerNorm;
  attn: WindowAttention;
  norm2: LayerNorm;
  mlp: TimmMlp;
  readonly #stage: SwinStageSizes;
  readonly #shift: number;
  readonly #dropPath: number;

  constructor({ stage, mlpRatio, shifted, dropPath: rate, generator }: SwinBlockOptions) {
    super();
    const { width, shift } = stage;
    this.norm1 = new LayerNorm({ width });
    this.attn = new WindowAttention({ stage, shifted, generator });
    this.norm2 = new LayerNorm({ width });
    this.mlp = new TimmMlp({ width, hidden: Math.floor(width * mlpRatio), generator });
    this.#stage = stage;
    this.#shift = shifted ? shift : 0;
    this.#dropPath = rate;
  }

  /** [B, G, G, W] → [B, G, G, W] */
  forward(x: Tensor, generator: Generator | undefined): Tensor {
    const drop = (branch: Tensor) =>
      dropPath(branch, { rate: this.training ? this.#dropPath : 0, generator });
    const y = add(x, drop(this.#attend(this.norm1.forward(x))));
    return add(y, drop(this.mlp.forward(this.norm2.forward(y))));
  }

  #attend(x: Tensor): Tensor {
    const { grid, window } = this.#stage;
    const shift = this.#shift;
    const [batch, , , width] = x.shape as [number, number, number, number];
    const count = windowsPerEdge(this.#stage);
    const edge = count * window;
    const shifted = shift === 0 ? x : roll(x, [-shift, -shift], [1, 2]);
    const filled = edge === grid ? shifted : pad(shifted, [0, 0, 0, edge - grid, 0, edge - grid]);
    // Rows of windows and rows within a window change places, and back.
    const cut = reshape(filled, [batch, count, window, count, window, width]);
    const windows = reshape(permute(cut, [0, 1, 3, 2, 4, 5]), [-1, window ** 2, width]);
    const attended = reshape(this.attn.forward(windows), [
      batch,
      count,
      count,
      window,
      window,
      width,
    ]);
    const joined = reshape(permute(attended, [0, 1, 3, 2, 4, 5]), [batch, edge, edge, width]);
    const kept = edge === grid ? joined : narrow(narrow(joined, 1, 0, grid), 2, 0, grid);
    return shift === 0 ? kept : roll(kept, [shift, shift], [1, 2]);
  }
}

/** Joins 2×2 neighbours: their vectors in a row, layer norm, a matrix to twice the width. */
export class PatchMerging extends Module {
  norm: LayerNorm;
  reduction: Linear;

  constructor({ width, generator }: { width: number; generator: Generator | null }) {
    super();
    this.norm = new LayerNorm({ width: 4 * width });
    this.reduction = timmLinear({
      inFeatures: 4 * width,
      outFeatures: 2 * width,
      bias: false,
      generator,
    });
  }

  /** [B, G, G, W] → [B, ⌈G/2⌉, ⌈G/2⌉, 2W] */
  forward(x: Tensor): Tensor {
    const [batch, grid, , width] = x.shape as [number, number, number, number];
    const odd = grid % 2;
    const even = odd === 0 ? x : pad(x, [0, 0, 0, odd, 0, odd]);
    const half = (grid + odd) / 2;
    const cut = reshape(even, [batch, half, 2, half, 2, width]);
    // The left column's two tokens come first, then the right one's.
    const joined = reshape(permute(cut, [0, 1, 3, 4, 2, 5]), [batch, half, half, 4 * width]);
    return this.reduction.forward(this.norm.forward(joined));
  }
}
