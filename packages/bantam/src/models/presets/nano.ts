import { parseModelConfig } from '../config.js';
import { derive, findPreset, type Presets } from './preset-map.js';

/**
 * `SiCLIP-S0` (Liu 2024), and transformers of simplified blocks (He and Hofmann 2024) in both towers:
 * ours, by the sizes of the presets without the prefix. In these the image's vector is the mean of
 * the patches, because at the start a class token knows nothing of them.
 */
export function addSasPPresets(presets: Presets): void {
  const vision = { block: 'sas-p', poolType: 'avg' } as const;
  const text = { block: 'sas-p' } as const;
  for (const name of ['ViT-Nano-16-64', 'ViT-S-16', 'ViT-B-32']) {
    derive(presets, `SAS-P-${name}`, name, { vision, text });
  }
  // The shared parameters of its blocks are not published in detail. Queries and keys alone leave 14 % fewer
  // parameters in the image tower than MobileCLIP-S0's, as the paper says; whole blocks, 28 %.
  derive(presets, 'SiCLIP-S0', 'MobileCLIP-S0', {
    vision: { attention: 'sas-p', sharedAttention: true },
    text: { block: 'sas-p', sharedLayers: 4, shared: 'attention' },
  });
}

const MIXTURE = {
  experts: 4,
  topK: 2,
  every: 2,
  capacityFactor: 2,
  balanceWeight: 0.01,
  zLossWeight: 1e-4,
};

/** Image towers of about the cost of `ViT-Nano-16-64`'s, for images of 64 pixels. */
const towers = {
  ModifiedResNet: { type: 'modified-resnet', width: 32, depths: [1, 1, 2, 1] },
  ResNet: { type: 'resnet', width: 32, depths: [2, 2, 3, 2] },
  ConvNeXt: { type: 'convnext', width: 48, depths: [2, 2, 4, 2] },
  Swin: {
    type: 'swin',
    width: 48,
    depths: [2, 2, 4, 2],
    heads: [2, 4, 8, 16],
    windowSize: 4,
    dropPath: 0,
  },
  Mixer: { type: 'mixer', width: 256, layers: 8 },
};

/**
 * One small model for each kind of tower, for images of 64 pixels and vocabularies trained on the
 * captions at hand: ours, to compare architectures within minutes. The image towers differ, the text
 * tower is that of `ViT-Nano-16-64` where the kind has none of its own. `ModifiedResNet-Pico-64` is for
 * budgets of minutes (docs/models.md).
 */
export function addNanoPresets(presets: Presets): void {
  const { embedDim, text } = findPreset(presets, 'ViT-Nano-16-64');
  for (const [name, vision] of Object.entries(towers)) {
    const config = { embedDim, text, vision: { ...vision, imageSize: 64 } };
    presets.set(`${name}-Nano-64`, parseModelConfig(config));
  }
  derive(presets, 'ModifiedResNet-Pico-64', 'ModifiedResNet-Nano-64', {
    vision: { width: 16 },
    text: { width: 96, layers: 2 },
  });
  presets.set(
    'SigLIP-Nano-64',
    parseModelConfig({
      embedDim,
      customText: true,
      initLogitBias: -10,
      vision: {
        type: 'siglip-vit',
        imageSize: 64,
        patchSize: 16,
        width: 256,
        layers: 6,
        heads: 4,
        proj: 'linear',
      },
      text: { ...text, noCausalMask: true, poolType: 'last', projBias: true },
    }),
  );
  derive(presets, 'MoE-ViT-Nano-16-64', 'ViT-Nano-16-64', {
    vision: { moe: MIXTURE },
    text: { moe: MIXTURE },
  });
  // Every two layers in a row are one block, after SiCLIP (Liu 2024).
  derive(presets, 'SAS-P-ViT-Nano-16-64-shared', 'SAS-P-ViT-Nano-16-64', {
    vision: { sharedLayers: 2 },
    text: { sharedLayers: 2 },
  });
  // Layer scales of the paper's 1e-5 take longer to grow than such a model is trained.
  const layerScale = 0.1;
  const hybrid = {
    embedDim,
    vision: { imageSize: 64, widths: [32, 64, 128, 256], depths: [2, 2, 4, 2], layerScale },
    text: { width: 192, heads: 3, layers: 2, contextLength: 32, vocabSize: 4096, layerScale },
  };
  derive(presets, 'MobileCLIP-Nano-64', 'MobileCLIP-S0', hybrid);
  derive(presets, 'SiCLIP-Nano-64', 'SiCLIP-S0', {
    ...hybrid,
    text: { ...hybrid.text, sharedLayers: hybrid.text.layers },
  });
}
