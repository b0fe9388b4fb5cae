import {
  add,
  expand,
  eye,
  noGrad,
  pad,
  reshape,
  type ConvWeights,
  type Tensor,
} from '@bantam/torch';

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
export function sumConvs(
  convs: readonly [ConvWeights, ...ConvWeights[]],
  kernel: Kernel,
): ConvWeights {
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
