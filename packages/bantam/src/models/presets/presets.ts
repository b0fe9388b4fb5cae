import { withChanges, type ModelConfig, type ModelConfigInput } from '../config.js';
import {
  addConvNextPresets,
  addMixerPresets,
  addMobileClipPresets,
  addResNetPresets,
} from './convolutional.js';
import { addHubTextPresets } from './hub-texts.js';
import { addNanoPresets, addSasPPresets } from './nano.js';
import { findPreset, type Presets } from './preset-map.js';
import { addTimmNanoPresets, addTimmPresets } from './timm.js';
import { addCoCaPresets, addSiglipPresets, addSwinPresets, addVitPresets } from './transformers.js';

function buildPresets(): Presets {
  const presets: Presets = new Map();
  addVitPresets(presets);
  addResNetPresets(presets);
  addConvNextPresets(presets);
  addHubTextPresets(presets);
  addSiglipPresets(presets);
  addSwinPresets(presets);
  addMixerPresets(presets);
  addMobileClipPresets(presets);
  addTimmPresets(presets);
  addSasPPresets(presets);
  addNanoPresets(presets);
  addTimmNanoPresets(presets);
  addCoCaPresets(presets);
  return presets;
}

/** Model configurations by name. Where OpenCLIP has the name, its model is the same. */
export const presets: ReadonlyMap<string, ModelConfig> = buildPresets();

/**
 * The configuration of a preset, with changes: `modelConfig('ViT-S-16', { text: { vocabSize } })`
 * fits it to a trained tokenizer.
 *
 * @throws BantamError naming the nearest preset, or what is wrong with the changes.
 */
export function modelConfig(name: string, changes: ModelConfigInput = {}): ModelConfig {
  return withChanges(findPreset(presets, name), changes);
}
