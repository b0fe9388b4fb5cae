import { parseModelConfig, type ModelConfigInput } from '../config.js';
import { siglipVit } from '../towers/image/siglip-vit.js';
import { swin } from '../towers/image/swin.js';
import type { VitConfig } from '../towers/image/vit.js';
import type { TextTransformerConfig } from '../towers/text/text-transformer.js';
import { derive, findPreset, type Presets } from './preset-map.js';

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

/** For images of 64 pixels and vocabularies trained on the captions at hand: ours. */
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

/** CLIPA's towers (Li et al. 2023): mean pooling, no first norm, BERT's tokenizer. */
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

/** Models that are others for images of another size. */
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

/** Multilingual text towers (Meta CLIP 2, Chuang et al. 2025). */
const worldwide = {
  'ViT-L-14': {
    vocabSize: 250100,
    hfTokenizerName: 'google/mt5-base',
    tokenizerKwargs: { clean: 'canonicalize' },
    poolType: 'eos',
    eosId: 1,
  },
  'ViT-H-14': xlmV(),
  'ViT-bigG-14': xlmV(),
} as const;

function xlmV() {
  const hfTokenizerName = 'facebook/xlm-v-base';
  return { vocabSize: 901629, hfTokenizerName, poolType: 'eos', eosId: 2 } as const;
}

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
  for (const [name, text] of Object.entries(worldwide)) {
    const made = `${name}-worldwide`;
    derive(presets, made, name, { text });
    if (name === 'ViT-L-14' || name === 'ViT-H-14') {
      derive(presets, `${made}-quickgelu`, made, { quickGelu: true });
    }
    if (name !== 'ViT-L-14') derive(presets, `${made}-378`, made, { vision: { imageSize: 378 } });
  }
}

/** Text towers by the size of the image tower that they are paired with. */
const texts = {
  base: { width: 768, heads: 12 },
  large: { width: 1024, heads: 16, layers: 24 },
  so400m: { width: 1152, heads: 16, layers: 27, mlpRatio: 3.7362 },
};

interface Generation {
  readonly vocabSize: number;
  readonly tokenizer: (name: string) => string;
  readonly geluTanh: boolean;
}

/** SigLIP (Zhai et al. 2023), its multilingual variant, and SigLIP 2 (Tschannen et al. 2025). */
const generations = {
  SigLIP: { vocabSize: 32000, tokenizer: () => 'timm/ViT-B-16-SigLIP', geluTanh: false },
  'SigLIP-i18n': {
    vocabSize: 250000,
    tokenizer: () => 'timm/ViT-B-16-SigLIP-i18n-256',
    geluTanh: false,
  },
  SigLIP2: { vocabSize: 256000, tokenizer: (name) => `timm/${name}`, geluTanh: true },
} satisfies Record<string, Generation>;

/** Name of the size, size, patch, generation, images. */
const models = [
  ['B', 'base', 16, 'SigLIP', [224, 256, 384, 512]],
  ['L', 'large', 16, 'SigLIP', [256, 384]],
  ['SO400M', 'so400m', 14, 'SigLIP', [224, 378, 384]],
  ['B', 'base', 16, 'SigLIP-i18n', [256]],
  ['B', 'base', 32, 'SigLIP2', [256]],
  ['B', 'base', 16, 'SigLIP2', [224, 256, 384, 512]],
  ['L', 'large', 16, 'SigLIP2', [256, 384, 512]],
  ['SO400M', 'so400m', 14, 'SigLIP2', [224, 378]],
  ['SO400M', 'so400m', 16, 'SigLIP2', [256, 384, 512]],
] as const;

/** SigLIP's models, all as OpenCLIP has them. */
export function addSiglipPresets(presets: Presets): void {
  for (const [short, size, patch, generation, images] of models) {
    const { vocabSize, tokenizer, geluTanh }: Generation = generations[generation];
    for (const image of images) {
      const name = `ViT-${short}-${patch}-${generation}${image === 224 ? '' : `-${image}`}`;
      const vision = siglipVit.fromOpenClip(
        {
          timm_model_name: `vit_${size}_patch${patch}_siglip_${image}`,
          timm_pool: 'map',
          timm_proj: 'none',
          image_size: image,
        },
        [],
      );
      presets.set(
        name,
        parseModelConfig({
          embedDim: texts[size].width,
          customText: true,
          initLogitBias: -10,
          vision: { type: siglipVit.type, ...vision },
          text: {
            ...texts[size],
            // The one of 224 pixels was trained on short captions.
            contextLength: name === 'ViT-SO400M-14-SigLIP' ? 16 : 64,
            vocabSize,
            hfTokenizerName: tokenizer(name),
            tokenizerKwargs: { clean: 'canonicalize' },
            noCausalMask: true,
            poolType: 'last',
            projBias: true,
            normEps: 1e-6,
            geluTanh,
          },
        }),
      );
    }
  }
  addDerivedSiglips(presets);
}

/** SigLIP's models that are others with changes, as OpenCLIP has them. */
function addDerivedSiglips(presets: Presets): void {
  derive(presets, 'ViT-SO400M-16-SigLIP-i18n-256', 'ViT-SO400M-16-SigLIP2-256', {
    text: {
      vocabSize: generations['SigLIP-i18n'].vocabSize,
      hfTokenizerName: generations['SigLIP-i18n'].tokenizer(),
      projType: 'none',
      projBias: false,
      geluTanh: false,
    },
  });
  for (const image of [256, 384]) {
    const name = `ViT-gopt-16-SigLIP2-${image}`;
    const tower = {
      ...{ timm_model_name: `vit_giantopt_patch16_siglip_${image}`, image_size: image },
      ...{ timm_pool: 'map', timm_proj: 'none' },
    };
    const { text, ...top } = findPreset(presets, `ViT-SO400M-16-SigLIP2-${image}`);
    presets.set(
      name,
      parseModelConfig({
        ...top,
        embedDim: 1536,
        vision: { type: siglipVit.type, ...siglipVit.fromOpenClip(tower, []) },
        text: { ...text, hfTokenizerName: `timm/${name}` },
      }),
    );
  }
}

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

/** The class token after the text takes one position of the context of 77. */
const text: Partial<TextTransformerConfig> = { contextLength: 76, embedCls: true };

/** CoCa's (Yu et al. 2022), as OpenCLIP has them, and one for images of 64 pixels. */
export function addCoCaPresets(presets: Presets): void {
  const coca = (name: string, from: string, changes: ModelConfigInput) => {
    derive(presets, name, from, { customText: true, ...changes });
  };
  coca('coca_ViT-B-32', 'ViT-B-32', {
    vision: { attentionalPool: true },
    text,
    decoder: {},
  });
  coca('coca_ViT-L-14', 'ViT-L-14', {
    vision: { attentionalPool: true },
    text,
    decoder: { heads: 12 },
  });
  presets.set(
    'coca_base',
    parseModelConfig({
      embedDim: 512,
      customText: true,
      vision: { imageSize: 288, patchSize: 18 },
      text: { ...text, vocabSize: 64000, width: 768, heads: 12 },
      decoder: { heads: 12 },
    }),
  );
  // Ours: as many queries as the image has patches.
  const nano = findPreset(presets, 'ViT-Nano-16-64');
  coca('coca_ViT-Nano-16-64', 'ViT-Nano-16-64', {
    vision: { attentionalPool: true, attnPoolerQueries: 17, attnPoolerHeads: 3 },
    text: { embedCls: true, contextLength: nano.text.contextLength - 1 },
    decoder: { layers: 3, heads: 3 },
  });
}
