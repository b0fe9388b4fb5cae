import { cat, Linear, Module, mul, reshape, type Generator, type Tensor } from '@bantam/torch';

/** Input of {@link PairMatcher}. */
export type Combination = 'product' | 'product-and-both';

/** Options of {@link PairMatcher}. */
export interface PairMatcherOptions {
  /** D, the width of the features. */
  readonly width: number;
  readonly combine: Combination;
  readonly generator: Generator;
}

/**
 * The hyperplane that tells pairs from others (SiCLIP, Liu 2024, 2411.14789): w·c(x, y) + b. The paper
 * does not say how image and text are combined; this is ours. A hyperplane over [x; y] gives the sum
 * of a number for x and one for y, so that its total for two pairs is that of the same two with
 * their texts exchanged: it cannot match. Hence the product x∘y of the members, beside which
 * [x; y] can be given. Features of length 1 are taken times √D, so that members are about 1 in size.
 */
export class PairMatcher extends Module {
  linear: Linear;
  readonly #combine: Combination;
  readonly #scale: number;

  constructor({ width, combine, generator }: PairMatcherOptions) {
    super();
    const inFeatures = combine === 'product' ? width : 3 * width;
    this.linear = new Linear({ inFeatures, outFeatures: 1, generator });
    this.#combine = combine;
    this.#scale = Math.sqrt(width);
  }

  /** Rows of images and texts, [N, D] of length 1 → logits [N] of their being pairs. */
  forward(image: Tensor, text: Tensor): Tensor {
    const [x, y] = [mul(image, this.#scale), mul(text, this.#scale)];
    const product = mul(x, y);
    const combined = this.#combine === 'product' ? product : cat([product, x, y], 1);
    return reshape(this.linear.forward(combined), [-1]);
  }
}
