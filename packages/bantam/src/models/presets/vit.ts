import { parseModelConfig, type ModelConfigInput } from '../config.js';
import type { VitConfig } from '../image-towers/vit-config.js';
import type { TextTransformerConfig } from '../text-towers/transformer-config.js';
import { derive, type Presets } from './presets.js';

interface Size {
  readonly embedDim: number;
  readonly vision: Partial<VitConfig>;
  readonly text: Partial<TextTransformerConfig>;
}

/**
 * Widths and depths by name: Ti, S, B, L, H of the vision transformer's papers, M of OpenCLIP;
 * `text` is the text tower that OpenCLIP pairs with each (Ti: ours, by the pattern of S).
 */
const sizes: Readonly<Record<string, Size>> = {
  Ti: { embedDim: 192, vision: { width: 192 }, text: { width: 192, heads: 3 } },
  S: { embedDim: 384, vision: { width: 384 }, text: { width: 384, heads: 6 } },
  M: { embedDim: 512, vision: { width: 512 }, text: { width: 512, heads: 8 } },
  B: { embedDim: 512, vision: { width: 768 }, text: { width: 512, heads: 8 } },
  L: { embedDim: 768, vision: { width: 1024, layers: 24 }, text: { width: 768, heads: 12 } },
  H: {
    embedDim: 1024,
    vision: { width: 1280, layers: 32, headWidth: 80 },
    text: { width: 1024, heads: 16, layers: 24 },
  },
};

/** For pictures of 64 pixels and vocabularies trained on the captions at hand: ours. */
const pictograms: Readonly<Record<string, Size>> = {
  Pico: {
    embedDim: 128,
    vision: { width: 128, layers: 4 },
    text: { width: 128, heads: 2, layers: 3 },
  },
  Nano: {
    embedDim: 192,
    vision: { width: 192, layers: 6 },
    text: { width: 192, heads: 3, layers: 4 },
  },
  Micro: {
    embedDim: 256,
    vision: { width: 256, layers: 8 },
    text: { width: 256, heads: 4, layers: 6 },
  },
};

const alternatives: Readonly<Record<string, ModelConfigInput>> = {
  S: { embedDim: 256, text: { width: 256, heads: 4, layers: 10 } },
  M: { embedDim: 384, text: { width: 384, heads: 6 } },
};

/** Vision transformers with plain text transformers. */
export function addVitPresets(presets: Presets): void {
  for (const [name, size] of Object.entries(pictograms)) {
    const vision = { ...size.vision, imageSize: 64, patchSize: 8 };
    const text = { ...size.text, contextLength: 32, vocabSize: 4096 };
    presets.set(`ViT-${name}-8-64`, parseModelConfig({ ...size, vision, text }));
  }
  for (const [name, size] of Object.entries(sizes)) {
    for (const patchSize of [32, 16, 14]) {
      const vision = { ...size.vision, patchSize };
      presets.set(`ViT-${name}-${patchSize}`, parseModelConfig({ ...size, vision }));
    }
  }
  // A quarter of the patches leaves room for more width.
  derive(presets, 'ViT-Nano-16-64', 'ViT-Nano-8-64', { vision: { patchSize: 16, width: 256 } });
  for (const [name, changes] of Object.entries(alternatives)) {
    for (const patch of [32, 16])
      derive(presets, `ViT-${name}-${patch}-alt`, `ViT-${name}-${patch}`, changes);
  }
  // OpenCLIP trained this one with layer scale.
  derive(presets, 'ViT-M-16-alt', 'ViT-M-16-alt', { vision: { lsInitValue: 1e-4 } });
  derive(presets, 'ViT-B-32-256', 'ViT-B-32', { vision: { imageSize: 256 } });
  derive(presets, 'ViT-L-14-336', 'ViT-L-14', { vision: { imageSize: 336 } });
  for (const name of ['ViT-B-32', 'ViT-B-16', 'ViT-L-14']) {
    derive(presets, `${name}-quickgelu`, name, { quickGelu: true });
  }
}
