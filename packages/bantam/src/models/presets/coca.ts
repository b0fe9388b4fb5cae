import { parseModelConfig, type ModelConfigInput } from '../config.js';
import type { TextTransformerConfig } from '../towers/text/text-transformer-config.js';
import { derive, findPreset, type Presets } from './preset-map.js';

/** The class token behind the text takes one place of the context of 77. */
const text: Partial<TextTransformerConfig> = { contextLength: 76, embedCls: true };

/** CoCa's (Yu et al. 2022), as OpenCLIP has them, and one for pictures of 64 pixels. */
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
  // Ours: as many queries as the picture has patches.
  const nano = findPreset(presets, 'ViT-Nano-16-64');
  coca('coca_ViT-Nano-16-64', 'ViT-Nano-16-64', {
    vision: { attentionalPool: true, attnPoolerQueries: 17, attnPoolerHeads: 3 },
    text: { embedCls: true, contextLength: nano.text.contextLength - 1 },
    decoder: { layers: 3, heads: 3 },
  });
}
