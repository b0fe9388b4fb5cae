import {
  at,
  BatchNorm2d,
  fanInInit,
  gelu,
  Module,
  permute,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { convFlops } from '../../blocks/convolution.js';
import { PatchConv } from '../../blocks/patches.js';
import { runBlocks } from '../../blocks/run-block.js';

/** [B, H, W, C] → [B, C, H, W] */
export function channelsFirst(x: Tensor): Tensor {
  return permute(x, [0, 3, 1, 2]);
}

/** [B, C, H, W] → [B, H, W, C] */
export function channelsBehind(x: Tensor): Tensor {
  return permute(x, [0, 2, 3, 1]);
}

/** FLOPs of a stem, and the side length of the map that it makes. */
export interface StemSizes {
  readonly flops: number;
  readonly grid: number;
}

/** Sizes of the convolutions, which are their strides. */
const kernels = [4, 2, 2] as const;

/** Channels after each convolution. */
function stemWidths(width: number): number[] {
  return [width / 4, width / 4, width];
}

/** A convolution whose stride is its kernel, and but for the last one batch norm and GELU. */
class StemConv extends Module {
  conv: PatchConv;
  bn: BatchNorm2d | null;

  constructor(options: {
    inChannels: number;
    outChannels: number;
    size: number;
    last: boolean;
    generator: Generator | null;
  }) {
    super();
    const { last, generator, ...sizes } = options;
    this.conv = new PatchConv({ ...sizes, bias: last });
    const { weight, bias } = this.conv;
    fanInInit(weight, generator);
    if (bias !== null) fanInInit(bias, generator, { weight });
    this.bn = last ? null : new BatchNorm2d({ channels: sizes.outChannels });
  }

  /** [B, H, W, C] → [B, H/size, W/size, C′] */
  forward(x: Tensor): Tensor {
    const y = this.conv.forward(x);
    if (this.bn === null) return y;
    return gelu(channelsBehind(this.bn.forward(channelsFirst(y))));
  }
}

/**
 * The stem of MobileCLIP-B (Vasu et al. 2024): three convolutions without overlap, under timm's
 * names.
 */
export class ConvStem extends Module {
  backbone: StemConv[];

  constructor({ width, generator }: { width: number; generator: Generator | null }) {
    super();
    const widths = stemWidths(width);
    this.backbone = kernels.map(
      (size, i) =>
        new StemConv({
          inChannels: i === 0 ? 3 : at(widths, i - 1),
          outChannels: at(widths, i),
          size,
          last: i === kernels.length - 1,
          generator,
        }),
    );
  }

  /** [B, 3, S, S] → [B, G, G, W] */
  forward(pixels: Tensor): Tensor {
    return runBlocks(this.backbone, channelsBehind(pixels), (conv, x) => conv.forward(x));
  }
}

/** Sizes of {@link ConvStem}. */
export function convStemSizes({
  width,
  imageSize,
}: {
  width: number;
  imageSize: number;
}): StemSizes {
  let [grid, inChannels, flops] = [imageSize, 3, 0];
  stemWidths(width).forEach((outChannels, i) => {
    const kernel = at(kernels, i);
    grid = Math.floor(grid / kernel);
    flops += convFlops({ inChannels, outChannels, kernel, out: grid });
    inChannels = outChannels;
  });
  return { flops, grid };
}
