import { quantizeLinears } from '@bantam/torch';
import type { Clip } from './clip.js';

/** Layers within blocks, of all kinds of towers; routers stay, because they compute in float32. */
const inBlock = /(?:^|\.)(?:res)?blocks\.\d+\.(?!.*router$)/;

/**
 * Puts the linear layers of both towers' blocks, those of attentions and MLPs, into int8 in place,
 * for inference: see {@link quantizeLinears}. Embeddings, convolutions, pooling, the projections to
 * the features and a decoder stay as they are.
 *
 * @returns Names of the layers.
 */
export function quantizeModel({ visual, text }: Pick<Clip, 'visual' | 'text'>): string[] {
  return Object.entries({ visual, text }).flatMap(([tower, module]) =>
    quantizeLinears(module, (name) => inBlock.test(name)).map((name) => `${tower}.${name}`),
  );
}
