import { BantamError } from '../../errors.js';
import { count, flag, optional, positive, type Fields } from '../fields.js';

/** What image and text transformers have in common. */
export interface TransformerConfig {
  /** Length of a token's vector. */
  readonly width: number;
  /** Number of residual blocks. */
  readonly layers: number;
  /** Hidden units of a block's MLP as a multiple of the width. */
  readonly mlpRatio: number;
  /** First value of the layer scale (Touvron et al. 2021, eq. 2); null: none. */
  readonly lsInitValue: number | null;
  /** Added to the variance by every layer norm. */
  readonly normEps: number;
  /** GELU by its tanh approximation, in place of the error function. */
  readonly geluTanh: boolean;
}

/** Members of {@link TransformerConfig} whose defaults both towers share with OpenCLIP. */
export const transformerFields: Fields<Omit<TransformerConfig, 'width'>> = {
  layers: count(12),
  mlpRatio: positive(4),
  lsInitValue: optional(positive(1)),
  normEps: positive(1e-5),
  geluTanh: flag(false),
};

/** Hidden units of a block's MLP, rounded down as OpenCLIP does. */
export function mlpWidth({
  width,
  mlpRatio,
}: Pick<TransformerConfig, 'width' | 'mlpRatio'>): number {
  return Math.floor(width * mlpRatio);
}

/** @throws BantamError where a transformer of this configuration cannot be. */
export function checkTransformer(
  config: Pick<TransformerConfig, 'width' | 'mlpRatio'>,
  where: 'vision' | 'text',
): void {
  if (mlpWidth(config) >= 1) return;
  throw new BantamError(`"mlpRatio" of "${where}" leaves no hidden unit; make it larger.`);
}

/**
 * Operations of the blocks for a sequence of n tokens: a block of width w with h hidden units has
 * 2n(4w² + 2wh) + 4n²w.
 */
export function transformerFlops(
  config: Pick<TransformerConfig, 'width' | 'mlpRatio' | 'layers'>,
  tokens: number,
): number {
  const { width, layers } = config;
  const products = 2 * tokens * (4 * width ** 2 + 2 * width * mlpWidth(config));
  return layers * (products + 4 * tokens ** 2 * width);
}
