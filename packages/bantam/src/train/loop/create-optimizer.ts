import { Adafactor, AdamW, Lion, type Optimizer, type ParameterGroup } from '@bantam/torch';
import type { TrainSettings } from '../config/config.js';

/**
 * The optimizer that the settings name. `beta1`, `beta2` and `eps` are AdamW's; Lion takes both betas,
 * Adafactor `beta1` as its momentum and its own schedule for the second moment. Each decays weights by
 * lr·λ, Adafactor too, where big_vision's λ is per schedule: its 1e-4 at a rate of 1e-3 is 0.1 here.
 */
export function createOptimizer(
  settings: TrainSettings,
  groups: readonly ParameterGroup[],
): Optimizer {
  const { lr, beta1, beta2, eps, weightDecay } = settings;
  switch (settings.optimizer) {
    case 'adamw':
      return new AdamW(groups, { lr, betas: [beta1, beta2], eps, weightDecay });
    case 'adafactor':
      return new Adafactor(groups, { lr, momentum: beta1, weightDecay, decayBy: 'lr' });
    case 'lion':
      return new Lion(groups, { lr, betas: [beta1, beta2], weightDecay });
  }
}
