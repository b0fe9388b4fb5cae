import { parseModelConfig } from '../config.js';
import { convNext } from '../towers/image/convnext.js';
import { mixer } from '../towers/image/mixer.js';
import { mobileClip } from '../towers/image/mobileclip.js';
import { mobileClipText } from '../towers/text/mobileclip-text.js';
import { derive, findPreset, type Presets } from './preset-map.js';

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

/** OpenCLIP's: `w` has longer features, `d` a deeper text tower, 320 larger images. */
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
    const trunk = name.replace(/_.*/, '');
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

/** By OpenCLIP's name, timm's name of the image tower. */
const inOpenClip = {
  'MobileCLIP-S1': 'fastvit_mci1',
  'MobileCLIP-S2': 'fastvit_mci2',
  'MobileCLIP2-S0': 'fastvit_mci0',
  'MobileCLIP2-S2': 'fastvit_mci2',
  'MobileCLIP2-S3': 'fastvit_mci3',
  'MobileCLIP2-S4': 'fastvit_mci4',
};

/**
 * MobileCLIP's hybrid image towers: with a plain, non-causal text transformer as OpenCLIP has them
 * (Vasu et al. 2024; Faghri et al. 2025), and `MobileCLIP-S0` with the hybrid text tower of the
 * paper, which OpenCLIP does not have.
 */
export function addMobileClipPresets(presets: Presets): void {
  for (const [name, timm_model_name] of Object.entries(inOpenClip)) {
    const tower = { timm_model_name, timm_pool: 'avg', timm_proj: null, image_size: 256 };
    const vision = { type: mobileClip.type, ...mobileClip.fromOpenClip(tower, []) };
    const embedDim = /S[34]$/.test(name) ? 768 : 512;
    presets.set(
      name,
      parseModelConfig({
        embedDim,
        customText: true,
        vision,
        text: { noCausalMask: true, width: embedDim, heads: embedDim / 64 },
      }),
    );
  }
  presets.set(
    'MobileCLIP-S0',
    parseModelConfig({
      embedDim: 512,
      customText: true,
      vision: { type: mobileClip.type, projBias: false },
      text: { type: mobileClipText.type },
    }),
  );
}

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
