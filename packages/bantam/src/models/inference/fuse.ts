import { scope } from '@bantam/torch';
import { createModel, type Clip } from '../clip.js';
import { withChanges, type ModelConfig } from '../config.js';

/**
 * The model in its form for evaluation: the branches and batch norms of towers whose configuration
 * has `fused` are merged into single convolutions, and everything else is copied. It computes the
 * same as the given model in evaluation, up to rounding, with fewer operations; its configuration
 * has `fused: true`. The given model stays as it is.
 */
export function fuseModel(model: Clip): Clip {
  const { vision, text } = model.config;
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

/** Whether a tower has branches to merge: of a kind that has them, and not fused already. */
export function hasBranches({ vision, text }: ModelConfig): boolean {
  return [vision, text].some((tower) => 'fused' in tower && !tower.fused);
}
