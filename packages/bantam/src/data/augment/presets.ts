import { UsageError } from '../../base/errors.js';
import { isObject } from '../../base/schema.js';
import { didYouMean } from '../../base/did-you-mean.js';
import { readOperation, type ImageAugment } from './schema.js';
import { timmOps } from './rand-augment.js';

/**
 * Training on emoji at 64 pixels: small shifts, no flips, as names tell
 * them apart; and now and then no color, or lines alone, for styles without color.
 */
export const emojiAugment: ImageAugment = [
  { op: 'shift', most: 0.1 },
  { op: 'dark-strokes', p: 0.1 },
  { op: 'edges', p: 0.1 },
  { op: 'grayscale', p: 0.1 },
  { op: 'color-jitter', p: 0.3, brightness: 0.2, contrast: 0.2, saturation: 0.3, hue: 0.03 },
];

/** Training on photographs: OpenCLIP's default crop, and flips. */
export const photoAugment: ImageAugment = [
  { op: 'random-resized-crop', scale: [0.9, 1] },
  { op: 'flip' },
];

/** Inception's crop, of 8 % of the area or more (torchvision's default), and flips. */
const cropFlip: ImageAugment = [{ op: 'random-resized-crop', scale: [0.08, 1] }, { op: 'flip' }];

/** Named augmentations, for `--set augment=NAME`. */
export const augmentations = {
  /** The evaluation transform. */
  none: [{ op: 'resize' }],
  emoji: emojiAugment,
  photo: photoAugment,
  /** OpenCLIP's training transform. */
  crop: [{ op: 'random-resized-crop', scale: [0.9, 1] }],
  'crop-flip': cropFlip,
  /** RandAugment(2, 10) of arXiv 1909.13719 after crop and flip. */
  'rand-augment': [...cropFlip, { op: 'rand-augment', n: 2, magnitude: 10 }],
  /**
   * Stacked RandAugment as InfoMin has it (arXiv 2005.10243): `rand-n2-m10-mstd0.5`, where each of
   * the two operations is left out half of the time; the fill is ImageNet's mean.
   */
  'stacked-rand-augment': [
    { op: 'random-resized-crop', scale: [0.2, 1], interpolation: 'bilinear' },
    { op: 'flip' },
    { op: 'color-jitter', p: 0.8, brightness: 0.8, contrast: 0.8, saturation: 0.8, hue: 0.2 },
    { op: 'gaussian-blur', p: 0.5, sigma: [0.1, 2] },
    {
      op: 'rand-augment',
      n: 2,
      magnitude: 10,
      magnitudeStd: 0.5,
      chance: 0.5,
      operations: [...timmOps],
      fillColor: [124, 116, 104],
    },
    { op: 'grayscale', p: 0.2 },
  ],
  /** The self-supervised views of SLIP (arXiv 2112.12750), which are SimCLR's. */
  simclr: [
    { op: 'random-resized-crop', scale: [0.08, 1], interpolation: 'bilinear' },
    { op: 'color-jitter', p: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 },
    { op: 'grayscale', p: 0.2 },
    { op: 'gaussian-blur', p: 0.5, sigma: [0.1, 2] },
    { op: 'flip' },
  ],
  /** The view that SLIP contrasts with captions. */
  'slip-clip': [{ op: 'random-resized-crop', scale: [0.5, 1], interpolation: 'bilinear' }],
} satisfies Readonly<Record<string, ImageAugment>>;

export type AugmentationName = keyof typeof augmentations;

function isName(text: string): text is AugmentationName {
  return Object.hasOwn(augmentations, text);
}

/**
 * Reads an augmentation: one of the names of {@link augmentations}, or a JSON list of operations.
 *
 * @throws UsageError for an unknown name and for what is no JSON; BantamError as `resolveAugment`.
 */
export function parseAugment(text: string): ImageAugment {
  if (isName(text)) return augmentations[text];
  if (!text.trimStart().startsWith('[')) {
    const names = Object.keys(augmentations);
    throw new UsageError(
      `There is no augmentation "${text}"${didYouMean(text, names)}; there are ${names.join(', ')}, or a JSON list of operations.`,
    );
  }
  const steps = parseList(text);
  if (!steps.every(isObject)) {
    throw new UsageError(`An augmentation is a list such as [{"op":"flip"}], not ${text}.`);
  }
  return steps.map(readOperation);
}

function parseList(text: string): readonly unknown[] {
  try {
    return JSON.parse(text) as unknown[];
  } catch {
    throw new UsageError(`The augmentation is not JSON: ${text}`);
  }
}
