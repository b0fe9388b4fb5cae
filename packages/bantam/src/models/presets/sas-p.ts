import { derive, type Presets } from './presets.js';

/**
 * Transformers of simplified blocks (He and Hofmann 2024) in both towers: ours, by the sizes of the
 * presets without the prefix. The picture's vector is the mean of the patches, because at the start
 * a class token knows nothing of them.
 */
export function addSasPPresets(presets: Presets): void {
  const vision = { block: 'sas-p', poolType: 'avg' } as const;
  const text = { block: 'sas-p' } as const;
  for (const name of ['ViT-Nano-8-64', 'ViT-S-16', 'ViT-B-32']) {
    derive(presets, `SAS-P-${name}`, name, { vision, text });
  }
  // Every two layers in a row are one block, after SiCLIP (Liu 2024).
  derive(presets, 'SAS-P-ViT-Nano-8-64-shared', 'SAS-P-ViT-Nano-8-64', {
    vision: { sharedLayers: 2 },
    text: { sharedLayers: 2 },
  });
}
