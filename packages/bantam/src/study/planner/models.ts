/** Models that a plan compares, and how fast they are known to learn. */
import { modelConfig, type ModelConfigInput } from '../../models/index.js';

/** A model with what is believed of it. */
export interface KnownModel {
  readonly preset: string;
  readonly changes: ModelConfigInput;
  /** Name in tables. */
  readonly label: string;
  /** ln of the samples at which learning sets in, relative to `ModifiedResNet-Nano-64`, and how sure that is. */
  readonly lnScale: number;
  readonly sd: number;
  /** Multiplier of the learning rate: wider towers take lower ones. */
  readonly rate: number;
  /** Speed relative to what its FLOPs let expect, for models that are not timed. */
  readonly efficiency: number;
}

interface Facts {
  readonly lnScale: number;
  readonly sd: number;
  readonly rate?: number;
}

/**
 * Samples per second of kinds of models by F^−0.9 of their FLOPs, relative to `ModifiedResNet-Nano-64`: batches
 * of 128 by one thread of an AMD EPYC with AVX512-BF16, the Pico's with AVX2 (`bantam train --plan`;
 * docs/planner.md). Others are taken for as fast as that.
 */
const efficiencies: readonly (readonly [prefix: string, efficiency: number])[] = [
  ['ModifiedResNet-Pico-', 0.85],
  ['ViT-', 1.5],
  ['Mixer-', 1.4],
  ['ConvNeXt-', 1],
  ['ResNet-', 0.9],
  ['Swin-', 0.9],
  ['MobileCLIP-', 0.6],
];

function efficiencyOf(name: string): number {
  const [, efficiency] = efficiencies.find(([prefix]) => name.startsWith(prefix)) ?? [name, 1];
  return efficiency;
}

function preset(name: string, { lnScale, sd, rate = 1 }: Facts): KnownModel {
  return { preset: name, changes: {}, label: name, lnScale, sd, rate, efficiency: efficiencyOf(name) }; // prettier-ignore
}

/** A preset with a text tower of two layers. */
function shallow(name: string, { lnScale, sd, rate = 1 }: Facts): KnownModel {
  return {
    preset: name,
    changes: { text: { layers: 2 } },
    label: `${name}, 2 text layers`,
    lnScale: lnScale + lnScaleOfShallowText,
    sd,
    rate,
    efficiency: efficiencyOf(name),
  };
}

/** Two layers of text instead of four needed 0.83 times the samples on the emoji (docs/log.md). */
const lnScaleOfShallowText = -0.18;

/**
 * ln of the scale in samples. Those of 64 pixels were measured on products (30 and 120 seconds of one
 * thread) and on the emoji (36,000 samples; docs/log.md); of Swin and Mixer the order in Scaling (Down)
 * CLIP is known: at 10M to 100M samples ResNet-50 is ahead of Mixer and Swin, these of ViT-B/32 and
 * ConvNeXt (Li et al. 2024). Larger images and towers learn more in the end, and start later.
 */
const models: readonly KnownModel[] = [
  // The first is timed first, and in short budgets alone: there the smallest is the likeliest.
  preset('ModifiedResNet-Pico-64', { lnScale: 0.15, sd: 0.3, rate: 2 }),
  shallow('ModifiedResNet-Nano-64', { lnScale: 0, sd: 0.3 }),
  preset('ModifiedResNet-Nano-64', { lnScale: 0, sd: 0.3 }),
  {
    preset: 'ModifiedResNet-Nano-64',
    changes: { vision: { width: 64 }, text: { layers: 2 } },
    label: 'ModifiedResNet-Nano-64, width 64, 2 text layers',
    lnScale: -0.1 + lnScaleOfShallowText,
    sd: 0.4,
    rate: 0.8,
    efficiency: 1.15,
  },
  shallow('ResNet-Nano-64', { lnScale: 0.55, sd: 0.4 }),
  shallow('ConvNeXt-Nano-64', { lnScale: 0.65, sd: 0.4 }),
  shallow('ViT-Nano-16-64', { lnScale: 0.85, sd: 0.4 }),
  preset('ViT-Nano-16-64', { lnScale: 0.85, sd: 0.4 }),
  preset('ViT-Pico-8-64', { lnScale: 1, sd: 0.5 }),
  preset('ViT-Nano-8-64', { lnScale: 0.9, sd: 0.5 }),
  preset('ViT-Micro-8-64', { lnScale: 1, sd: 0.6, rate: 0.8 }),
  shallow('Swin-Nano-64', { lnScale: 0.6, sd: 0.5 }),
  shallow('Mixer-Nano-64', { lnScale: 0.5, sd: 0.5 }),
  preset('MobileCLIP-Nano-64', { lnScale: 1.6, sd: 0.6 }),
  preset('ViT-Ti-16', { lnScale: 1, sd: 0.8 }),
  preset('ViT-S-32', { lnScale: 1, sd: 0.8, rate: 0.6 }),
  preset('ViT-S-16', { lnScale: 1, sd: 0.8, rate: 0.6 }),
  preset('ViT-B-32', { lnScale: 1.2, sd: 0.8, rate: 0.5 }),
  preset('RN50', { lnScale: 0.6, sd: 0.8, rate: 0.6 }),
];

/** A model of which nothing is known. */
const unknown = { lnScale: 0.9, sd: 0.8 } as const;

/**
 * The models with some presets, each once, or all that are known.
 *
 * @throws BantamError for a name that no preset has.
 */
export function knownModels(presets?: readonly string[]): readonly KnownModel[] {
  if (presets === undefined) return models;
  return [...new Set(presets)].flatMap((name) => {
    const own = models.filter((known) => known.preset === name);
    if (own.length > 0) return own;
    // The defaults are those of small images.
    const isLarge = modelConfig(name).vision.imageSize > 64;
    return [preset(name, { ...unknown, rate: isLarge ? 0.6 : 1 })];
  });
}
