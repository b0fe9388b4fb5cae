/** Functions of features: contrastive, sigmoid, self-supervised, global, distillation, matching. */
export { assign } from './assignment.js';
export { captionCosts, captionLoss, type CaptionCosts } from './caption-loss.js';
export { clipLoss, collapsedClipLoss } from './clip-loss.js';
export { featureLoss, interactiveLoss, relationLoss } from './distillation-losses.js';
export {
  globalContrastiveLoss,
  type GlobalContrastiveOptions,
  type GlobalContrastiveResult,
} from './global-contrastive-loss.js';
export {
  hardNegatives,
  pairMatchingLoss,
  type HardNegativesOptions,
  type NegativeChoice,
  type PairMatchingOptions,
  type RowPairs,
} from './pair-matching-loss.js';
export type { PairFeatures, PairwiseOptions, ScaledFeatures } from './pairwise.js';
export { collapsedSigLipLoss, sigLipLoss, type SigLipOptions } from './siglip-loss.js';
export { collapsedSimclrLoss, simclrLoss } from './simclr-loss.js';
