import { quantizeLinears } from '@bantam/torch';
import { isInBlock } from './block-layers.js';
import type { Clip } from '../clip.js';

/**
 * Puts the linear layers of both towers' blocks, those of attentions and MLPs, into int8 in place,
 * for inference: see {@link quantizeLinears}. Embeddings, convolutions, pooling, the projections to
 * the features and a decoder stay as they are.
 *
 * @returns Names of the layers.
 */
export function quantizeModel({ visual, text }: Pick<Clip, 'visual' | 'text'>): string[] {
  return Object.entries({ visual, text }).flatMap(([tower, module]) =>
    quantizeLinears(module, isInBlock).map((name) => `${tower}.${name}`),
  );
}
