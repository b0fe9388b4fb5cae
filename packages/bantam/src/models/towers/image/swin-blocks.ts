import {
  add,
  bmm,
  dims,
  indexSelect,
  LayerNorm,
  Module,
  mul,
  narrow,
  pad,
  Parameter,
  permute,
  reshape,
  roll,
  softmax,
  tensor,
  TensorBuffer,
  to,
  transpose,
  truncatedNormalInit,
  unsqueeze,
  zeros,
  type Generator,
  type Linear,
  type Tensor,
} from '@bantam/torch';
import { splitQkv } from '../../blocks/attention.js';
import { dropPath } from '../../blocks/run-block.js';
import { timmLinear, TimmMlp } from './timm.js';

/** One stage of a Swin transformer. */
export interface SwinStageSizes {
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  /** Tokens along one side. */
  readonly grid: number;
  /** Side length of the windows: the whole grid where that is not larger. */
  readonly window: number;
  /** Tokens by which every second block shifts its windows. */
  readonly shift: number;
}

/** Windows along one side; the last one is padded with zeros. */
export function windowsPerSide({ grid, window }: SwinStageSizes): number {
  return Math.ceil(grid / window);
}

/** Added to the scores between tokens that only the shift has made neighbours. */
const HIDDEN = -100;

/** Row of the bias table for each pair of tokens of a window: their distance down and across. */
function relativePositions(window: number): number[] {
  const span = 2 * window - 1;
  const tokens = Array.from({ length: window ** 2 }, (_, i) => ({
    x: i % window,
    y: Math.floor(i / window),
  }));
  return tokens.flatMap(({ x, y }) =>
    tokens.map((key) => (y - key.y + window - 1) * span + (x - key.x + window - 1)),
  );
}

/**
 * After a cyclic shift the last windows hold tokens from opposite sides of the image: 0 for pairs
 * that were neighbours before, {@link HIDDEN} for others; by window [windows², L, L].
 */
function shiftMask(stage: SwinStageSizes): number[][][] {
  const { window, shift } = stage;
  const side = windowsPerSide(stage) * window;
  const region = (row: number) => (row < side - window ? 0 : row < side - shift ? 1 : 2);
  const starts = Array.from({ length: side / window }, (_, i) => i * window);
  const inside = Array.from({ length: window }, (_, i) => i);
  return starts.flatMap((top) =>
    starts.map((left) => {
      const regions = inside.flatMap((y) =>
        inside.map((x) => 3 * region(top + y) + region(left + x)),
      );
      return regions.map((a) => regions.map((b) => (a === b ? 0 : HIDDEN)));
    }),
  );
}

/** Options of {@link WindowAttention}. */
export interface WindowAttentionOptions {
  stage: SwinStageSizes;
  /** The windows are those of a cyclically shifted image. */
  shifted: boolean;
  generator: Generator | null;
}

/**
 * Multi-head self-attention within windows of M×M tokens, with a learnt bias for each relative
 * position: softmax(q·kᵀ/√d + B)·v (Liu et al. 2021, eq. 4).
 */
export class WindowAttention extends Module {
  relativePositionBiasTable: Parameter;
  qkv: Linear;
  proj: Linear;
  readonly heads: number;
  readonly relativePositionIndex: TensorBuffer;
  readonly attnMask: TensorBuffer | null;

  constructor({ stage, shifted, generator }: WindowAttentionOptions) {
    super();
    const { width, heads, window, shift } = stage;
    this.relativePositionBiasTable = truncatedNormalInit(
      new Parameter(zeros([(2 * window - 1) ** 2, heads])),
      generator,
      { std: 0.02 },
    );
    this.qkv = timmLinear({ inFeatures: width, outFeatures: 3 * width, generator });
    this.proj = timmLinear({ inFeatures: width, outFeatures: width, generator });
    this.heads = heads;
    const buffer = (values: Tensor) => new TensorBuffer(values, { persistent: false });
    this.relativePositionIndex = buffer(tensor(relativePositions(window), { dtype: 'int64' }));
    this.attnMask = shifted && shift > 0 ? buffer(tensor(shiftMask(stage))) : null;
  }

  /** Windows [B·N, L, W], the N windows of an image in a row → [B·N, L, W]. */
  forward(x: Tensor): Tensor {
    const [windows, length, width] = dims(x, 3);
    const { heads } = this;
    const depth = width / heads;
    const [q, k, v] = splitQkv(this.qkv.forward(x), heads);
    const scores = bmm(mul(q, depth ** -0.5), transpose(k, 1, 2));
    const bias = to(this.#bias(length), { dtype: scores.dtype });
    const images = windows / (bias.dim(0) / heads);
    const biased = add(reshape(scores, [images, bias.dim(0), length, length]), bias);
    const weights = softmax(reshape(biased, [windows * heads, length, length]), -1);
    const mixed = reshape(bmm(weights, v), [windows, heads, length, depth]);
    return this.proj.forward(reshape(permute(mixed, [0, 2, 1, 3]), [windows, length, width]));
  }

  /** Bias and mask of the scores: [heads, L, L], with a mask [N·heads, L, L]. */
  #bias(length: number): Tensor {
    const rows = indexSelect(this.relativePositionBiasTable, 0, this.relativePositionIndex);
    const bias = permute(reshape(rows, [length, length, this.heads]), [2, 0, 1]);
    if (this.attnMask === null) return bias;
    const masked = add(unsqueeze(bias, 0), unsqueeze(this.attnMask, 1));
    return reshape(masked, [-1, length, length]);
  }
}

/** Options of {@link SwinBlock}. */
export interface SwinBlockOptions {
  stage: SwinStageSizes;
  mlpRatio: number;
  shifted: boolean;
  /** Probability by which training skips a branch for an image. */
  dropPath: number;
  generator: Generator | null;
}

/**
 * y = x + attention(LN₁x) within windows, then y + MLP(LN₂y) (Liu et al. 2021, eq. 3). In every
 * second block the windows are shifted cyclically by half their side, which connects them.
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
    const [batch, , , width] = dims(x, 4);
    const count = windowsPerSide(this.#stage);
    const side = count * window;
    const shifted = shift === 0 ? x : roll(x, [-shift, -shift], [1, 2]);
    const padded = side === grid ? shifted : pad(shifted, [0, 0, 0, side - grid, 0, side - grid]);
    // Rows of windows before rows within a window, and back.
    const cut = reshape(padded, [batch, count, window, count, window, width]);
    const windows = reshape(permute(cut, [0, 1, 3, 2, 4, 5]), [-1, window ** 2, width]);
    const attended = reshape(this.attn.forward(windows), [
      batch,
      count,
      count,
      window,
      window,
      width,
    ]);
    const joined = reshape(permute(attended, [0, 1, 3, 2, 4, 5]), [batch, side, side, width]);
    const kept = side === grid ? joined : narrow(narrow(joined, 1, 0, grid), 2, 0, grid);
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
    const [batch, grid, , width] = dims(x, 4);
    const odd = grid % 2;
    const even = odd === 0 ? x : pad(x, [0, 0, 0, odd, 0, odd]);
    const half = (grid + odd) / 2;
    const cut = reshape(even, [batch, half, 2, half, 2, width]);
    // The left column's two tokens come first, then the right one's.
    const joined = reshape(permute(cut, [0, 1, 3, 4, 2, 5]), [batch, half, half, 4 * width]);
    return this.reduction.forward(this.norm.forward(joined));
  }
}
