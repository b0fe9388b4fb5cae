export { assign } from './assignment.js';
export { captionCosts, captionLoss, type CaptionCosts } from './caption-loss.js';
export { clipLoss, collapsedClipLoss } from './clip-loss.js';
export { featureLoss } from './feature-loss.js';
export {
  collapsedGlobalContrastiveLoss,
  globalContrastiveLoss,
  type GlobalContrastiveOptions,
  type GlobalContrastiveResult,
} from './global-contrastive-loss.js';
export {
  hardNegatives,
  type HardNegativesOptions,
  type NegativeChoice,
  type RowPairs,
} from './hard-negatives.js';
export { interactiveLoss } from './interactive-loss.js';
export type { PairFeatures, PairwiseOptions, ScaledFeatures } from './options.js';
export { pairMatchingLoss, type PairMatchingOptions } from './pair-matching-loss.js';
export { relationLoss } from './relation-loss.js';
export { collapsedSigLipLoss, sigLipLoss, type SigLipOptions } from './siglip-loss.js';
export { collapsedSimclrLoss, simclrLoss } from './simclr-loss.js';
