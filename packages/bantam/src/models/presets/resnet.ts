import { parseModelConfig } from '../config.js';
import { derive, type Presets } from './preset-map.js';

/** OpenAI's residual networks by OpenCLIP's names, and the ordinary ones with RN50's text tower. */
export function addResNetPresets(presets: Presets): void {
  const modified = {
    RN50: { embedDim: 1024, vision: {}, text: {} },
    RN101: { embedDim: 512, vision: { depths: [3, 4, 23, 3] }, text: {} },
    RN50x4: {
      embedDim: 640,
      vision: { imageSize: 288, width: 80, depths: [4, 6, 10, 6] },
      text: { width: 640, heads: 10 },
    },
    RN50x16: {
      embedDim: 768,
      vision: { imageSize: 384, width: 96, depths: [6, 8, 18, 8] },
      text: { width: 768, heads: 12 },
    },
    RN50x64: {
      embedDim: 1024,
      vision: { imageSize: 448, width: 128, depths: [3, 15, 36, 10] },
      text: { width: 1024, heads: 16 },
    },
  };
  for (const [name, { embedDim, vision, text }] of Object.entries(modified)) {
    const config = { embedDim, vision: { type: 'modified-resnet', ...vision }, text };
    presets.set(name, parseModelConfig(config));
    derive(presets, `${name}-quickgelu`, name, { quickGelu: true });
  }
  for (const [name, depths] of [
    ['resnet50', [3, 4, 6, 3]],
    ['resnet101', [3, 4, 23, 3]],
  ] as const) {
    presets.set(name, parseModelConfig({ embedDim: 512, vision: { type: 'resnet', depths } }));
  }
}
