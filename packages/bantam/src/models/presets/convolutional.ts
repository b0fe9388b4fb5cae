import { parseModelConfig } from '../config.js';
import { convNext } from '../towers/image/convnext-kind.js';
import type { Presets } from './preset-map.js';

interface Size {
  readonly embedDim: number;
  /** Default: as wide as the features are long. */
  readonly textWidth?: number;
  /** Default 12. */
  readonly textLayers?: number;
  /** Default 224. */
  readonly imageSize?: number;
  readonly proj?: 'mlp';
}

/** OpenCLIP's: `w` has longer features, `d` a deeper text tower, 320 larger pictures. */
const sizes: Readonly<Record<string, Size>> = {
  tiny: { embedDim: 1024, textWidth: 512 },
  small: { embedDim: 512 },
  base: { embedDim: 512 },
  base_w: { embedDim: 640, imageSize: 256 },
  base_w_320: { embedDim: 640, imageSize: 320 },
  large: { embedDim: 768 },
  large_d: { embedDim: 768, imageSize: 256, textLayers: 16, proj: 'mlp' },
  large_d_320: { embedDim: 768, imageSize: 320, textLayers: 16, proj: 'mlp' },
  xlarge: { embedDim: 1024, imageSize: 256, textLayers: 20 },
  xxlarge: { embedDim: 1024, imageSize: 256, textLayers: 24 },
  xxlarge_320: { embedDim: 1024, imageSize: 320, textLayers: 24 },
};

/** ConvNeXts as OpenCLIP has them. */
export function addConvNextPresets(presets: Presets): void {
  for (const [name, size] of Object.entries(sizes)) {
    const { embedDim, textWidth = embedDim, textLayers = 12, imageSize = 224, proj } = size;
    const [trunk] = name.split('_') as [string];
    const vision = convNext.fromOpenClip(
      {
        timm_model_name: `convnext_${trunk}`,
        timm_pool: '',
        timm_proj: proj ?? 'linear',
        timm_drop_path: 0.1,
        image_size: imageSize,
      },
      [],
    );
    presets.set(
      `convnext_${name}`,
      parseModelConfig({
        embedDim,
        vision: { type: convNext.type, ...vision },
        text: { width: textWidth, heads: textWidth / 64, layers: textLayers },
      }),
    );
  }
}
