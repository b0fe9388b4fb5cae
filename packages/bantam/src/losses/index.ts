export { captionCosts, captionLoss, type CaptionCosts } from './caption-loss.js';
export { clipLoss, collapsedClipLoss } from './clip-loss.js';
export {
  collapsedGlobalContrastiveLoss,
  globalContrastiveLoss,
  type GlobalContrastiveOptions,
  type GlobalContrastiveResult,
} from './global-contrastive-loss.js';
export type { PairwiseOptions } from './options.js';
export { collapsedSigLipLoss, sigLipLoss, type SigLipOptions } from './siglip-loss.js';
export { collapsedSimclrLoss, simclrLoss } from './simclr-loss.js';
