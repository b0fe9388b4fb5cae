import { parseModelConfig } from '../config.js';
import { mobileClip } from '../towers/image/mobileclip.js';
import { mobileClipText } from '../towers/text/mobileclip-kind.js';
import type { Presets } from './preset-map.js';

/** By OpenCLIP's name, timm's name of the image tower. */
const inOpenClip = {
  'MobileCLIP-S1': 'fastvit_mci1',
  'MobileCLIP-S2': 'fastvit_mci2',
  'MobileCLIP2-S0': 'fastvit_mci0',
  'MobileCLIP2-S2': 'fastvit_mci2',
};

/**
 * MobileCLIP's hybrid image towers: with a plain, non-causal text transformer as OpenCLIP has them
 * (Vasu et al. 2024; Faghri et al. 2025), and `MobileCLIP-S0` with the hybrid text tower of the
 * paper, which OpenCLIP does not have.
 */
export function addMobileClipPresets(presets: Presets): void {
  for (const [name, timm_model_name] of Object.entries(inOpenClip)) {
    const tower = { timm_model_name, timm_pool: 'avg', timm_proj: null, image_size: 256 };
    presets.set(
      name,
      parseModelConfig({
        embedDim: 512,
        customText: true,
        vision: { type: mobileClip.type, ...mobileClip.fromOpenClip(tower, []) },
        text: { noCausalMask: true },
      }),
    );
  }
  presets.set(
    'MobileCLIP-S0',
    parseModelConfig({
      embedDim: 512,
      customText: true,
      vision: { type: mobileClip.type, projBias: false },
      text: { type: mobileClipText.type },
    }),
  );
}
