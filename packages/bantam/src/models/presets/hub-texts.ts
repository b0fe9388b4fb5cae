import { parseModelConfig } from '../config.js';
import { bertText } from '../towers/text/bert.js';
import { findPreset, type Presets } from './preset-map.js';

/** By OpenCLIP's name, the image tower and the text model of Hugging Face with its tokenizer. */
const pairs = {
  'roberta-ViT-B-32': { image: 'ViT-B-32', text: 'roberta-base', quickGelu: true },
  'xlm-roberta-base-ViT-B-32': { image: 'ViT-B-32', text: 'xlm-roberta-base', quickGelu: false },
  'xlm-roberta-large-ViT-H-14': { image: 'ViT-H-14', text: 'xlm-roberta-large', quickGelu: false },
};

/** Vision transformers with text towers of RoBERTa and XLM-R, as OpenCLIP has them. */
export function addHubTextPresets(presets: Presets): void {
  for (const [name, { image, text: model, quickGelu }] of Object.entries(pairs)) {
    const { embedDim, vision } = findPreset(presets, image);
    const text = bertText.fromOpenClip(
      { hf_model_name: model, hf_tokenizer_name: model, hf_pooler_type: 'mean_pooler' },
      [],
    );
    presets.set(
      name,
      parseModelConfig({
        embedDim,
        quickGelu,
        customText: true,
        vision,
        text: { type: bertText.type, ...text },
      }),
    );
  }
}
