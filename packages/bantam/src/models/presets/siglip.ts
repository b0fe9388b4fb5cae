import { parseModelConfig } from '../config.js';
import { siglipVit } from '../towers/image/siglip-vit-kind.js';
import type { Presets } from './preset-map.js';

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

/** Name of the size, size, patch, generation, pictures. */
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
  for (const [short, size, patch, generation, pictures] of models) {
    const { vocabSize, tokenizer, geluTanh }: Generation = generations[generation];
    for (const picture of pictures) {
      const name = `ViT-${short}-${patch}-${generation}${picture === 224 ? '' : `-${picture}`}`;
      const vision = siglipVit.fromOpenClip(
        {
          timm_model_name: `vit_${size}_patch${patch}_siglip_${picture}`,
          timm_pool: 'map',
          timm_proj: 'none',
          image_size: picture,
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
}
