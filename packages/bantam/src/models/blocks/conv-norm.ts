import {
  BatchNorm2d,
  Conv2d,
  foldBatchNorm,
  Module,
  type Conv2dLayerOptions,
  type ConvWeights,
  type Tensor,
} from '@bantam/torch';

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
