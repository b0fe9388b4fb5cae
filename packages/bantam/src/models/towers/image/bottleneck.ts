import {
  averagePool,
  avgPool2d,
  BatchNorm2d,
  Conv2d,
  dims,
  dropNormed,
  isGradEnabled,
  Module,
  normalInit,
  normedConv,
  packConvolution,
  PackedWeight,
  zerosInit,
  type FloatDType,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { convFlops } from '../../blocks/convolution.js';
import type { Prepackable } from '../../blocks/prepackable.js';

/** Width of a bottleneck's output as a multiple of its inner width. */
export const EXPANSION = 4;

/** Options of {@link Bottleneck}. */
export interface BottleneckOptions {
  inChannels: number;
  /** Channels of the inner convolutions; the output has {@link EXPANSION} times as many. */
  width: number;
  stride: number;
  /** Shrink by average pooling before a convolution of stride 1, in place of its stride. */
  antialias: boolean;
  /** Initialise weights from N(0, 2/fanOut) (He et al. 2015, eq. 14) in place of PyTorch's default. */
  heInit: boolean;
  generator: Generator | null;
}

/**
 * The bottleneck of residual networks (He et al. 2016, figure 5): 1×1, 3×3 and 1×1 convolutions, each
 * with batch norm, beside the input, which a 1×1 convolution projects if sizes differ. The last batch
 * norm's gain starts at 0, so that a block starts as its shortcut.
 */
export class Bottleneck extends Module implements Prepackable {
  conv1: Conv2d;
  bn1: BatchNorm2d;
  conv2: Conv2d;
  bn2: BatchNorm2d;
  conv3: Conv2d;
  bn3: BatchNorm2d;
  /** Convolution and batch norm of the shortcut; empty where it is the input itself. */
  downsample: [Conv2d, BatchNorm2d] | [];
  readonly #pool: number;

  constructor({ inChannels, width, stride, antialias, heInit, generator }: BottleneckOptions) {
    super();
    const outChannels = EXPANSION * width;
    const conv = (from: number, to: number, kernel: number, step = 1) => {
      const made = plainConv({
        inChannels: from,
        outChannels: to,
        kernel,
        stride: step,
        generator,
      });
      return heInit ? heNormalInit(made, generator) : made;
    };
    const step = antialias ? 1 : stride;
    this.conv1 = conv(inChannels, width, 1);
    this.bn1 = new BatchNorm2d({ channels: width });
    this.conv2 = conv(width, width, 3, step);
    this.bn2 = new BatchNorm2d({ channels: width });
    this.conv3 = conv(width, outChannels, 1);
    this.bn3 = new BatchNorm2d({ channels: outChannels });
    zerosInit(this.bn3.weight);
    this.downsample =
      stride > 1 || inChannels !== outChannels
        ? [conv(inChannels, outChannels, 1, step), new BatchNorm2d({ channels: outChannels })]
        : [];
    this.#pool = antialias ? stride : 1;
  }

  /** [B, C, H, W] → [B, 4·width, H/stride, W/stride]; a prepacked one may write over x. */
  forward(x: Tensor): Tensor {
    const relu = true;
    let y = normedConv(x, [this.conv1, this.bn1], { relu });
    y = this.#shrink(normedConv(y, [this.conv2, this.bn2], { relu }));
    return normedConv(y, [this.conv3, this.bn3], { residual: this.#shortcut(x), relu });
  }

  prepack(dtype: FloatDType): void {
    packConvolution(this.conv1, { norm: this.bn1, dtype });
    packConvolution(this.conv2, { norm: this.bn2, dtype });
    packConvolution(this.conv3, { norm: this.bn3, dtype });
    if (this.downsample.length === 0) return;
    const [conv, norm] = this.downsample;
    packConvolution(conv, { norm, dtype });
  }

  #shortcut(x: Tensor): Tensor {
    if (this.downsample.length === 0) return x;
    return normedConv(this.#shrink(x), this.downsample);
  }

  #shrink(x: Tensor): Tensor {
    return this.#pool === 1 ? x : pooledMap(x, this.#pool, this.conv1);
  }
}

/** Means over squares of a map beside a convolution; where that is prepacked, for inference. */
export function pooledMap(x: Tensor, side: number, { weight }: Conv2d): Tensor {
  if (weight instanceof PackedWeight) return averagePool(x, side);
  const y = avgPool2d(x, { kernel: side });
  if (isGradEnabled()) dropNormed(y, x);
  return y;
}

/** A convolution without bias that keeps the map's size but for its stride. */
export function plainConv(options: {
  inChannels: number;
  outChannels: number;
  kernel: number;
  stride?: number;
  generator: Generator | null;
}): Conv2d {
  return new Conv2d({ ...options, padding: Math.floor(options.kernel / 2), bias: false });
}

/** Initialises a convolution's weights from N(0, 2/fanOut) (He et al. 2015, eq. 14). */
export function heNormalInit(conv: Conv2d, generator: Generator | null): Conv2d {
  const [outChannels, , height, width] = dims(conv.weight, 4);
  normalInit(conv.weight, generator, { std: Math.sqrt(2 / (outChannels * height * width)) });
  return conv;
}

/** The blocks of one stage; the first one changes sizes. */
export function bottlenecks(
  depth: number,
  { inChannels, stride, ...options }: BottleneckOptions,
): Bottleneck[] {
  return Array.from({ length: depth }, (_, i) =>
    i === 0
      ? new Bottleneck({ inChannels, stride, ...options })
      : new Bottleneck({ inChannels: EXPANSION * options.width, stride: 1, ...options }),
  );
}

/** Sizes of a stage of bottlenecks. */
export interface BottleneckStage {
  readonly depth: number;
  readonly inChannels: number;
  readonly width: number;
  readonly stride: number;
  readonly antialias: boolean;
  /** Side length of the map that comes in. */
  readonly grid: number;
}

/** FLOPs of a stage for one image. */
export function bottleneckFlops(stage: BottleneckStage): number {
  const { depth, inChannels, width, stride, antialias, grid } = stage;
  const outChannels = EXPANSION * width;
  const out = Math.floor(grid / stride);
  const block = (channels: number, first: boolean) => {
    const conv = (from: number, to: number, kernel: number, size: number) =>
      convFlops({ inChannels: from, outChannels: to, kernel, out: size });
    const before = first ? grid : out;
    const inner = antialias ? before : out;
    const main =
      conv(channels, width, 1, before) +
      conv(width, width, 3, inner) +
      conv(width, outChannels, 1, out);
    const shortcut = first && (stride > 1 || channels !== outChannels);
    return main + (shortcut ? conv(channels, outChannels, 1, out) : 0);
  };
  return block(inChannels, true) + (depth - 1) * block(outChannels, false);
}
