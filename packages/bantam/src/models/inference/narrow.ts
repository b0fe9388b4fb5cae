import { narrowWeights, type FloatDType } from '@bantam/torch';
import type { Clip } from '../clip.js';

/** Routers of experts compute in float32 under autocast as well. */
const isRouter = /(?:^|\.)router$/;

/**
 * Keeps the weights of a model's products in the type that it computes in, for inference: the same
 * features under autocast to it, without converting the weights for every batch. In float32 they are
 * already. See {@link narrowWeights}.
 */
export function narrowModel(model: Clip, dtype: FloatDType): void {
  if (dtype === 'float32') return;
  narrowWeights(model, dtype, (name) => !isRouter.test(name));
}
