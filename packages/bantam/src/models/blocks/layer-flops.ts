/** Sizes of a convolution and of its output. */
export interface ConvSizes {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  /** Default 1. */
  readonly groups?: number;
  /** Edge of the square output. */
  readonly out: number;
}

/** Operations of a convolution on one square picture: out²·Cₒ·(Cᵢ/groups)·k², 2 per multiply-add. */
export function convFlops({ inChannels, outChannels, kernel, groups = 1, out }: ConvSizes): number {
  return 2 * out ** 2 * outChannels * (inChannels / groups) * kernel ** 2;
}

/** Edge of a convolution's or pooling's output: ⌊(size + 2·padding − kernel)/stride⌋ + 1. */
export function convSize(
  size: number,
  { kernel, stride = 1, padding = 0 }: { kernel: number; stride?: number; padding?: number },
): number {
  return Math.floor((size + 2 * padding - kernel) / stride) + 1;
}
