import { parseModelConfig } from '../config.js';
import { eva } from '../towers/image/eva.js';
import { timmVit } from '../towers/image/timm-vit.js';
import type { OpenClipTower } from '../tower.js';
import { findPreset, type Presets } from './preset-map.js';

interface Model {
  /** Timm's name of the image tower. */
  readonly trunk: string;
  readonly embedDim: number;
  readonly imageSize?: number;
  readonly text: Readonly<Record<string, unknown>>;
}

const texts = {
  384: { width: 384, heads: 6 },
  512: {},
  768: { width: 768, heads: 12 },
  1024: { width: 1024, heads: 16, layers: 24 },
  1280: { width: 1280, heads: 20, layers: 32 },
} as const;

/** EVA-CLIP's (Sun et al. 2023). */
const evaClips: Readonly<Record<string, Model>> = {
  'EVA01-g-14': { trunk: 'eva_giant_patch14_224', embedDim: 1024, text: texts[768] },
  'EVA01-g-14-plus': { trunk: 'eva_giant_patch14_224', embedDim: 1024, text: texts[1024] },
  'EVA02-B-16': { trunk: 'eva02_base_patch16_clip_224', embedDim: 512, text: texts[512] },
  'EVA02-L-14': { trunk: 'eva02_large_patch14_clip_224', embedDim: 768, text: texts[768] },
  'EVA02-L-14-336': {
    ...{ trunk: 'eva02_large_patch14_clip_336', embedDim: 768, imageSize: 336 },
    text: texts[768],
  },
  'EVA02-E-14': {
    ...{ trunk: 'eva02_enormous_patch14_clip_224', embedDim: 1024 },
    text: texts[1024],
  },
  'EVA02-E-14-plus': {
    ...{ trunk: 'eva02_enormous_patch14_clip_224', embedDim: 1024 },
    text: texts[1280],
  },
};

/** The Perception Encoder (Bolya et al. 2025). */
const perceptionEncoders: Readonly<Record<string, Model>> = {
  'PE-Core-T-16-384': {
    ...{ trunk: 'vit_pe_core_tiny_patch16_384', embedDim: 512, imageSize: 384 },
    text: { contextLength: 32 },
  },
  'PE-Core-S-16-384': {
    ...{ trunk: 'vit_pe_core_small_patch16_384', embedDim: 512, imageSize: 384 },
    text: { contextLength: 32 },
  },
  'PE-Core-B-16': {
    ...{ trunk: 'vit_pe_core_base_patch16_224', embedDim: 1024 },
    text: { ...texts[1024], contextLength: 32 },
  },
  'PE-Core-L-14-336': {
    ...{ trunk: 'vit_pe_core_large_patch14_336', embedDim: 1024, imageSize: 336 },
    text: { ...texts[1024], contextLength: 32 },
  },
  'PE-Core-bigG-14-448': {
    ...{ trunk: 'vit_pe_core_gigantic_patch14_448', embedDim: 1280, imageSize: 448 },
    text: { ...texts[1280], layers: 24, contextLength: 72 },
  },
};

/** MobileCLIP's (Vasu et al. 2024) and MobileCLIP2's (Faghri et al. 2025) that are transformers. */
const mobileClips: Readonly<Record<string, Model>> = {
  'MobileCLIP-B': { trunk: 'vit_base_mci_224', embedDim: 512, text: texts[512] },
  'MobileCLIP2-B': { trunk: 'vit_base_mci_224', embedDim: 512, text: texts[512] },
  'MobileCLIP2-L-14': {
    ...{ trunk: 'vit_large_patch14_clip_224', embedDim: 768 },
    text: { ...texts[768], noCausalMask: true },
  },
};

/** ViTamin's (Chen et al. 2024). */
function vitamins(): Record<string, Model> {
  const xlarge = { width: 1152, heads: 16, layers: 27 };
  const sizes = {
    S: { size: 'small', embedDim: 384, text: texts[384], images: [224] },
    'S-LTT': { size: 'small', embedDim: 768, text: texts[768], images: [224] },
    B: { size: 'base', embedDim: 512, text: texts[512], images: [224] },
    'B-LTT': { size: 'base', embedDim: 768, text: texts[768], images: [224] },
    L: { size: 'large', embedDim: 768, text: texts[768], images: [224, 256, 336, 384] },
    L2: { size: 'large2', embedDim: 1024, text: texts[1024], images: [224, 256, 336, 384] },
    XL: { size: 'xlarge', embedDim: 1152, text: xlarge, images: [256, 336, 384] },
  };
  return Object.fromEntries(
    Object.entries(sizes).flatMap(([name, { size, embedDim, text, images }]) =>
      images.map((imageSize) => [
        `ViTamin-${name}${imageSize === 224 ? '' : `-${imageSize}`}`,
        { trunk: `vitamin_${size}_${imageSize}`, embedDim, imageSize, text },
      ]),
    ),
  );
}

/** How OpenCLIP takes a trunk from timm. */
function towerOf({ trunk, imageSize = 224 }: Model): OpenClipTower {
  const tower = { timm_model_name: trunk, image_size: imageSize };
  if (trunk.startsWith('vitamin')) {
    return { ...tower, timm_pool: '', timm_proj: 'linear', timm_drop_path: 0.1 };
  }
  const timm_pool = trunk.includes('_pe_') ? 'map' : 'token';
  const dropPath = trunk.startsWith('vit_large') ? { timm_drop_path: 0.1 } : {};
  return { ...tower, timm_pool, timm_proj: null, ...dropPath };
}

/**
 * Models whose image towers are timm's vision transformers, all as OpenCLIP has them: EVA-CLIP's, the
 * Perception Encoder's, MobileCLIP's, ViTamin's, and one with global average pooling.
 */
export function addTimmPresets(presets: Presets): void {
  const kinds = [
    { kind: eva, models: { ...evaClips, ...perceptionEncoders } },
    { kind: timmVit, models: { ...mobileClips, ...vitamins() } },
  ];
  for (const { kind, models } of kinds) {
    for (const [name, model] of Object.entries(models)) {
      const vision = { type: kind.type, ...kind.fromOpenClip(towerOf(model), []) };
      const { embedDim, text } = model;
      presets.set(name, parseModelConfig({ embedDim, customText: true, vision, text }));
    }
  }
  const averaged = {
    timm_model_name: 'vit_medium_patch16_gap_256',
    timm_pool: '',
    image_size: 256,
  };
  presets.set(
    averaged.timm_model_name,
    parseModelConfig({
      embedDim: 512,
      vision: { type: timmVit.type, ...timmVit.fromOpenClip(averaged, []) },
    }),
  );
}

/** For images of 64 pixels, with the text tower of `ViT-Nano-16-64`: ours. */
export function addTimmNanoPresets(presets: Presets): void {
  const { embedDim, text } = findPreset(presets, 'ViT-Nano-16-64');
  const sizes = { imageSize: 64, width: 256, heads: 4, layers: 6 };
  const towers = {
    EVA: {
      ...{ type: eva.type, ...sizes, mlpRatio: 8 / 3, block: 'sub-norm' },
      rotary: { grid: 4, offset: 0, order: 'yx' },
    },
    ViTamin: {
      ...{ type: timmVit.type, ...sizes, stem: 'mbconv', stemWidth: 24, mlp: 'geglu' },
      ...{ layers: 4, mlpRatio: 2, poolType: 'avg', finalLnAfterPool: true },
    },
  };
  for (const [name, vision] of Object.entries(towers)) {
    presets.set(`${name}-Nano-64`, parseModelConfig({ embedDim, vision, text }));
  }
}
