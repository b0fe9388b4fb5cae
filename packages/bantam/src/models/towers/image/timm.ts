import { gelu, Linear, Module, type Generator, type Tensor } from '@bantam/torch';
import { flag, oneOf, type Fields } from '../../../base/fields.js';

/** How OpenCLIP makes a feature of the pooled vector of one of timm's towers. */
export interface TimmHeadConfig {
  /** One matrix, or a hidden layer of twice the features' length with GELU; none: it is the feature. */
  readonly proj: 'linear' | 'mlp' | 'none';
  /** Whether the last matrix has a bias. */
  readonly projBias: boolean;
}

/** Members of {@link TimmHeadConfig}, with OpenCLIP's defaults, for towers that need a projection. */
export const timmHeadFields: Fields<TimmHeadConfig> = {
  proj: oneOf<TimmHeadConfig['proj']>('linear', 'mlp'),
  projBias: flag(false),
};

/** Options of {@link TimmHead}. */
export interface TimmHeadOptions {
  config: TimmHeadConfig;
  /** Length of the pooled vector. */
  width: number;
  embedDim: number;
  generator: Generator | null;
}

/** The hidden layer and the projection, under timm's names. */
class HeadMlp extends Module {
  fc1: Linear;
  fc2: Linear;

  constructor({ config, width, embedDim, generator }: TimmHeadOptions) {
    super();
    this.fc1 = new Linear({ inFeatures: width, outFeatures: 2 * embedDim, generator });
    this.fc2 = new Linear({
      inFeatures: 2 * embedDim,
      outFeatures: embedDim,
      bias: config.projBias,
      generator,
    });
  }

  forward(x: Tensor): Tensor {
    return this.fc2.forward(gelu(this.fc1.forward(x)));
  }
}

/** From a tower's pooled vector [B, width] to the feature [B, embedDim], as OpenCLIP's `TimmModel`. */
export class TimmHead extends Module {
  /** Present for `proj: 'linear'`. */
  proj?: Linear;
  /** Present for `proj: 'mlp'`. */
  mlp?: HeadMlp;
  readonly #last: Linear | HeadMlp | null;

  constructor(options: TimmHeadOptions) {
    super();
    const { config, width, embedDim, generator } = options;
    if (config.proj === 'none') {
      this.#last = null;
    } else if (config.proj === 'mlp') {
      this.#last = this.mlp = new HeadMlp(options);
    } else {
      const bias = config.projBias;
      this.#last = this.proj = new Linear({
        inFeatures: width,
        outFeatures: embedDim,
        bias,
        generator,
      });
    }
  }

  forward(pooled: Tensor): Tensor {
    return this.#last === null ? pooled : this.#last.forward(pooled);
  }
}

/** Operations of the head for one picture. */
export function timmHeadFlops(
  { proj }: TimmHeadConfig,
  { width, embedDim }: { width: number; embedDim: number },
): number {
  if (proj === 'none') return 0;
  return proj === 'linear' ? 2 * width * embedDim : 4 * embedDim * (width + embedDim);
}
