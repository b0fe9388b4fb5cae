import { gelu, Module, type Generator, type Linear, type Tensor } from '@bantam/torch';
import { timmLinear } from './timm-init.js';

/** Options of {@link TimmMlp}. */
export interface TimmMlpOptions {
  width: number;
  hidden: number;
  generator: Generator | null;
}

/** W₂·GELU(W₁x + b₁) + b₂ under timm's names. */
export class TimmMlp extends Module {
  fc1: Linear;
  fc2: Linear;

  constructor({ width, hidden, generator }: TimmMlpOptions) {
    super();
    this.fc1 = timmLinear({ inFeatures: width, outFeatures: hidden, generator });
    this.fc2 = timmLinear({ inFeatures: hidden, outFeatures: width, generator });
  }

  forward(x: Tensor): Tensor {
    return this.fc2.forward(gelu(this.fc1.forward(x)));
  }
}
