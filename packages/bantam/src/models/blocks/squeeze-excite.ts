import {
  Conv2d,
  mean,
  Module,
  mul,
  relu,
  sigmoid,
  type Generator,
  type Tensor,
} from '@bantam/torch';

/** Options of {@link SqueezeExcite}. */
export interface SqueezeExciteOptions {
  channels: number;
  hidden: number;
  /** Draws the initial weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** x·σ(W₂·max(W₁·mean(x) + b₁, 0) + b₂): a gate for each channel (Hu et al. 2018, eq. 3). */
export class SqueezeExcite extends Module {
  fc1: Conv2d;
  fc2: Conv2d;

  constructor({ channels, hidden, generator }: SqueezeExciteOptions) {
    super();
    this.fc1 = new Conv2d({ inChannels: channels, outChannels: hidden, kernel: 1, generator });
    this.fc2 = new Conv2d({ inChannels: hidden, outChannels: channels, kernel: 1, generator });
  }

  /** [B, C, H, W] → [B, C, H, W] */
  forward(x: Tensor): Tensor {
    const squeezed = mean(x, { dim: [2, 3], keepdim: true });
    return mul(x, sigmoid(this.fc2.forward(relu(this.fc1.forward(squeezed)))));
  }
}
