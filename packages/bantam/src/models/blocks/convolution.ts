import {
  add,
  BatchNorm2d,
  Conv2d,
  expand,
  eye,
  foldBatchNorm,
  Module,
  noGrad,
  pad,
  reshape,
  type Conv2dLayerOptions,
  type ConvWeights,
  type Tensor,
} from '@bantam/torch';

/** Sizes of a convolution and of its output. */
export interface ConvSizes {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  /** Default 1. */
  readonly groups?: number;
  /** Side length of the square output. */
  readonly out: number;
}

/** FLOPs of a convolution on one square image: out²·Cₒ·(Cᵢ/groups)·k², 2 per multiply-add. */
export function convFlops({ inChannels, outChannels, kernel, groups = 1, out }: ConvSizes): number {
  return 2 * out ** 2 * outChannels * (inChannels / groups) * kernel ** 2;
}

/** Side length of a convolution's or pooling's output: ⌊(size + 2·padding − kernel)/stride⌋ + 1. */
export function convSize(
  size: number,
  { kernel, stride = 1, padding = 0 }: { kernel: number; stride?: number; padding?: number },
): number {
  return Math.floor((size + 2 * padding - kernel) / stride) + 1;
}

/** Height and width of a kernel. */
export type Kernel = readonly [number, number];

/** Zeros around the input with which a kernel of odd sides keeps its size. */
export function samePadding([height, width]: Kernel): Kernel {
  return [Math.floor(height / 2), Math.floor(width / 2)];
}

/** The 1×1 kernel [C, C/groups, 1, 1] of the convolution that changes nothing. */
export function identityKernel({ channels, groups }: { channels: number; groups: number }): Tensor {
  const size = channels / groups;
  return reshape(expand(eye(size), [groups, size, size]), [channels, size, 1, 1]);
}

/** A kernel of odd sides with zeros around it, up to the given size. */
export function padKernel(weight: Tensor, [height, width]: Kernel): Tensor {
  const rows = (height - weight.dim(2)) / 2;
  const columns = (width - weight.dim(3)) / 2;
  return pad(weight, [columns, columns, rows, rows]);
}

/** The convolution that computes the sum of several of equal stride and groups. */
export function sumConvs(convs: readonly ConvWeights[], kernel: Kernel): ConvWeights {
  return noGrad(() =>
    convs
      .map(({ weight, bias }) => ({ weight: padKernel(weight, kernel), bias }))
      .reduce((sum, conv) => ({
        weight: add(sum.weight, conv.weight),
        bias: add(sum.bias, conv.bias),
      })),
  );
}

/** A state dict of nothing but a convolution under the name that reparameterised ones have. */
export function reparamState({ weight, bias }: ConvWeights): [string, Tensor][] {
  return [
    ['reparam_conv.weight', weight],
    ['reparam_conv.bias', bias],
  ];
}

/** A convolution without bias and a batch norm. */
export class ConvNorm extends Module {
  conv: Conv2d;
  bn: BatchNorm2d;

  constructor(options: Omit<Conv2dLayerOptions, 'bias'>) {
    super();
    this.conv = new Conv2d({ ...options, bias: false });
    this.bn = new BatchNorm2d({ channels: options.outChannels });
  }

  forward(x: Tensor): Tensor {
    return this.bn.forward(this.conv.forward(x));
  }

  /** The one convolution that computes the same in evaluation. */
  folded(): ConvWeights {
    return foldBatchNorm(this.conv.weight, null, this.bn);
  }
}
