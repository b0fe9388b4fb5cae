import { derive, type Presets } from './preset-map.js';

/**
 * `SiCLIP-S0` (Liu 2024), and transformers of simplified blocks (He and Hofmann 2024) in both towers:
 * ours, by the sizes of the presets without the prefix. In these the picture's vector is the mean of
 * the patches, because at the start a class token knows nothing of them.
 */
export function addSasPPresets(presets: Presets): void {
  const vision = { block: 'sas-p', poolType: 'avg' } as const;
  const text = { block: 'sas-p' } as const;
  for (const name of ['ViT-Nano-16-64', 'ViT-S-16', 'ViT-B-32']) {
    derive(presets, `SAS-P-${name}`, name, { vision, text });
  }
  // What its blocks share is not published in detail. Queries and keys alone leave 14 % fewer
  // parameters in the image tower than MobileCLIP-S0's, as the paper says; whole blocks, 28 %.
  derive(presets, 'SiCLIP-S0', 'MobileCLIP-S0', {
    vision: { attention: 'sas-p', sharedAttention: true },
    text: { block: 'sas-p', sharedLayers: 4, shared: 'attention' },
  });
}
