import { parseModelConfig, type ModelConfigInput } from '../config.js';
import type { VitConfig } from '../towers/image/vit-config.js';
import type { TextTransformerConfig } from '../towers/text/text-transformer-config.js';
import { derive, type Presets } from './preset-map.js';

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

/** Sizes that OpenCLIP has with patches of 14 pixels, or of 16, alone. */
const others: Readonly<Record<string, Size>> = {
  'ViT-B-16-plus': { embedDim: 640, vision: { width: 896 }, text: { width: 640, heads: 10 } },
  'ViT-g-14': {
    embedDim: 1024,
    vision: { width: 1408, layers: 40, headWidth: 88, mlpRatio: 4.3637, patchSize: 14 },
    text: { width: 1024, heads: 16, layers: 24 },
  },
  'ViT-bigG-14': {
    embedDim: 1280,
    vision: { width: 1664, layers: 48, headWidth: 104, mlpRatio: 4.9231, patchSize: 14 },
    text: { width: 1280, heads: 20, layers: 32 },
  },
  'ViT-e-14': {
    embedDim: 1280,
    vision: { width: 1792, layers: 56, headWidth: 112, mlpRatio: 8.5715, patchSize: 14 },
    text: { width: 1280, heads: 20, layers: 36 },
  },
};

/** CLIPA's towers (Li et al. 2023): mean pooling, no first norm, texts of BERT's word pieces. */
const clipa: ModelConfigInput = {
  vision: { noLnPre: true, poolType: 'avg', finalLnAfterPool: true },
  text: {
    contextLength: 32,
    vocabSize: 32000,
    hfTokenizerName: 'bert-base-uncased',
    tokenizerKwargs: { strip_sep_token: true },
    poolType: 'last',
    noCausalMask: true,
  },
};

/** Models that are others for pictures of another size. */
const resized: readonly (readonly [name: string, from: string, imageSize: number])[] = [
  ['ViT-B-32-256', 'ViT-B-32', 256],
  ['ViT-B-16-plus-240', 'ViT-B-16-plus', 240],
  ['ViT-L-14-280', 'ViT-L-14', 280],
  ['ViT-L-14-336', 'ViT-L-14', 336],
  ['ViT-L-16-320', 'ViT-L-16', 320],
  ['ViT-H-14-378', 'ViT-H-14', 378],
  ['ViT-L-14-CLIPA-336', 'ViT-L-14-CLIPA', 336],
  ['ViT-H-14-CLIPA-336', 'ViT-H-14-CLIPA', 336],
  ['ViT-bigG-14-CLIPA-336', 'ViT-bigG-14-CLIPA', 336],
];

/** Models that OpenCLIP has with OpenAI's activation too. */
const quick = [
  'ViT-B-32',
  'ViT-B-16',
  'ViT-L-14',
  'ViT-L-14-336',
  'ViT-H-14',
  'ViT-H-14-378',
  'ViT-bigG-14',
];

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
  for (const [name, size] of Object.entries(others)) presets.set(name, parseModelConfig(size));
  for (const name of ['ViT-L-14', 'ViT-H-14', 'ViT-bigG-14']) {
    derive(presets, `${name}-CLIPA`, name, clipa);
  }
  for (const [name, from, imageSize] of resized)
    derive(presets, name, from, { vision: { imageSize } });
  derive(presets, 'ViT-B-32-plus-256', 'ViT-B-16-plus', {
    vision: { patchSize: 32, imageSize: 256 },
  });
  for (const name of quick) derive(presets, `${name}-quickgelu`, name, { quickGelu: true });
}
