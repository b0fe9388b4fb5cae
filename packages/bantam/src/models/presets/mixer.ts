import { mixer } from '../towers/image/mixer-kind.js';
import { parseModelConfig } from '../config.js';
import { findPreset, type Presets } from './preset-map.js';

/** MLP-Mixers with the text towers of the vision transformers of their size: ours. */
export function addMixerPresets(presets: Presets): void {
  for (const size of ['S', 'B']) {
    for (const patch of [32, 16]) {
      const name = `mixer_${size.toLowerCase()}${patch}_224`;
      const { embedDim, text } = findPreset(presets, `ViT-${size}-${patch}`);
      const vision = mixer.fromOpenClip({ timm_model_name: name }, []);
      presets.set(
        `Mixer-${size}-${patch}`,
        parseModelConfig({ embedDim, vision: { type: mixer.type, ...vision }, text }),
      );
    }
  }
}
