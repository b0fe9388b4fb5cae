import { parseModelConfig } from '../config.js';
import { swin } from '../towers/image/swin-kind.js';
import type { Presets } from './preset-map.js';

/**
 * Swin transformers. OpenCLIP has the base one; the others have its text tower in the widths that
 * OpenCLIP pairs with ConvNeXt's sizes.
 */
export function addSwinPresets(presets: Presets): void {
  const sizes = { tiny: 512, small: 512, base: 640 };
  for (const [size, embedDim] of Object.entries(sizes)) {
    const name = `swin_${size}_patch4_window7_224`;
    const vision = swin.fromOpenClip({ timm_model_name: name, timm_pool: '' }, []);
    presets.set(
      name,
      parseModelConfig({
        embedDim,
        vision: { type: swin.type, ...vision },
        text: { width: embedDim, heads: embedDim / 64 },
      }),
    );
  }
}
