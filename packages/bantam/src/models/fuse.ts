import { scope } from '@bantam/torch';
import { BantamError } from '../errors.js';
import { createModel, type Clip } from './clip.js';
import { withChanges } from './config.js';

/**
 * The model in its form for evaluation: the branches and batch norms of towers whose configuration
 * has `fused` are merged into single convolutions, and everything else is copied. It computes the
 * same as the given model in evaluation, up to rounding, with fewer operations; its configuration
 * has `fused: true`. The given model stays as it is.
 *
 * @throws BantamError where neither tower has anything to merge, or it is merged already.
 */
export function fuseModel(model: Clip): Clip {
  const { vision, text } = model.config;
  if (![vision, text].some((tower) => 'fused' in tower && !tower.fused)) {
    throw new BantamError(
      'Neither tower of this model has branches to merge: it is fused already, or of a kind without any (MobileCLIP and SiCLIP have them).',
    );
  }
  const config = withChanges(model.config, {
    vision: 'fused' in vision ? { type: vision.type, fused: true } : {},
    text: 'fused' in text ? { type: text.type, fused: true } : {},
  });
  const fused = createModel(config, { generator: null });
  scope(() => {
    fused.loadStateDict(model.fusedStateDict());
  });
  return fused.eval();
}
