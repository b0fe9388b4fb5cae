import type { TransformerConfig } from '../../blocks/transformer-config.js';
import type { TextTowerConfig } from '../../tower.js';

/** The hybrid text tower of MobileCLIP-S0 (Vasu et al. 2024, section 3.2): its `mct`. */
export interface MobileClipTextConfig extends TextTowerConfig, TransformerConfig {
  readonly type: 'mobileclip';
  /** Number of attention heads. */
  readonly heads: number;
  /** Tokens under the kernels of the RepMixer blocks. */
  readonly kernel: number;
  /** Hidden units of the RepMixer blocks as a multiple of the width. */
  readonly mixerRatio: number;
  /** First value of the RepMixer blocks' layer scales. */
  readonly layerScale: number;
  /** Id that fills a text up to the context. */
  readonly padId: number;
  /** Has in place of branches the convolutions that they merge into in evaluation. */
  readonly fused: boolean;
}

/** Hidden units of a RepMixer block. */
export function mixerWidth({ width, mixerRatio }: MobileClipTextConfig): number {
  return Math.floor(width * mixerRatio);
}
