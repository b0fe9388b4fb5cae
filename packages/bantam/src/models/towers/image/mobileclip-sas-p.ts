import { flatten, Module, reshape, transpose, type Tensor } from '@bantam/torch';
import { SasPBlock } from '../../blocks/sas-p.js';
import type { MobileClipBlock, MobileClipBlockOptions } from './mobileclip-block.js';

/**
 * A {@link SasPBlock} over the places of a map, as in SiCLIP's last stage (Liu 2024). It has no skip
 * connection, so nothing of it can be skipped in training.
 */
export class MapSasPBlock extends Module implements MobileClipBlock {
  block: SasPBlock;

  constructor({ config, stage, before, generator }: MobileClipBlockOptions) {
    super();
    const { width, hidden } = stage;
    const sizes = { width, heads: width / config.headWidth, hidden, normEps: 1e-5, generator };
    const shares = config.sharedAttention && before instanceof MapSasPBlock;
    this.block = new SasPBlock(shares ? { ...sizes, attention: before.block.attention } : sizes);
  }

  protected override get hoisted(): readonly string[] {
    return ['block'];
  }

  /** [B, W, G, G] → [B, W, G, G] */
  forward(x: Tensor): Tensor {
    const places = transpose(flatten(x, { start: 2 }), 1, 2);
    return reshape(transpose(this.block.forward(places), 1, 2), x.shape);
  }
}
