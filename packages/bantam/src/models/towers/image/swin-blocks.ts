import type { Linear } from '@bantam/torch';
import {
  add,
  bmm,
  indexSelect,
  Module,
  mul,
  Parameter,
  permute,
  reshape,
  softmax,
  tensor,
  TensorBuffer,
  to,
  transpose,
  truncatedNormalInit,
  unbind,
  unsqueeze,
  zeros,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { timmLinear } from './timm-init.js';
import { windowsPerEdge, type SwinStageSizes } from './swin-config.js';

/** Subtracted from the scores of tokens that only the shift has made neighbours. */
const HIDDEN = -100;

/** For each pair of places of a window, the row of the bias table: their distance down and across. */
function relativePositions(window: number): number[] {
  const span = 2 * window - 1;
  const places = Array.from({ length: window ** 2 }, (_, i) => [
    Math.floor(i / window),
    i % window,
  ]);
  return places.flatMap(([y = 0, x = 0]) =>
    places.map(([v = 0, u = 0]) => (y - v + window - 1) * span + (x - u + window - 1)),
  );
}

/**
 * After a cyclic shift the last windows hold tokens from opposite edges of the picture: 0 for pairs
 * that were neighbours before, {@link HIDDEN} for others; by window [windows², L, L].
 */
function shiftMask(stage: SwinStageSizes): number[][][] {
  const { window, shift } = stage;
  const edge = windowsPerEdge(stage) * window;
  const region = (place: number) => (place < edge - window ? 0 : place < edge - shift ? 1 : 2);
  const starts = Array.from({ length: edge / window }, (_, i) => i * window);
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
  /** Whether the windows are those of a shifted picture. */
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

  /** Windows [B·N, L, W], the N windows of a picture in a row → [B·N, L, W]. */
  forward(x: Tensor): Tensor {
    const [windows, length, width] = x.shape as [number, number, number];
    const { heads } = this;
    const depth = width / heads;
    const parts = reshape(this.qkv.forward(x), [windows, length, 3, heads, depth]);
    const [q, k, v] = unbind(permute(parts, [2, 0, 3, 1, 4]), 0).map((part) =>
      reshape(part, [windows * heads, length, depth]),
    ) as [Tensor, Tensor, Tensor];
    const scores = bmm(mul(q, depth ** -0.5), transpose(k, 1, 2));
    const bias = to(this.#bias(length), { dtype: scores.dtype });
    const pictures = windows / (bias.dim(0) / heads);
    const biased = add(reshape(scores, [pictures, bias.dim(0), length, length]), bias);
    const weights = softmax(reshape(biased, [windows * heads, length, length]), -1);
    const mixed = reshape(bmm(weights, v), [windows, heads, length, depth]);
    return this.proj.forward(reshape(permute(mixed, [0, 2, 1, 3]), [windows, length, width]));
  }

  /** What is added to the scores: [heads, L, L], with a mask [N·heads, L, L]. */
  #bias(length: number): Tensor {
    const rows = indexSelect(this.relativePositionBiasTable, 0, this.relativePositionIndex);
    const bias = permute(reshape(rows, [length, length, this.heads]), [2, 0, 1]);
    if (this.attnMask === null) return bias;
    const masked = add(unsqueeze(bias, 0), unsqueeze(this.attnMask, 1));
    return reshape(masked, [-1, length, length]);
  }
}
