import { Operator, tensor, type Tensor } from '@bantam/torch';
import { BantamError } from '../base/errors.js';

/** The object's name in messages. */
const WHERE = 'preprocess_cfg';

type Triple = readonly [number, number, number];

/**
 * How a model wants its images: resized and centre-cropped to `size`, then per channel
 * `(x / 255 − mean) / std`.
 */
export interface Preprocess {
  /** Side length of the square input in pixels. */
  readonly size: number;
  readonly mean: Triple;
  readonly std: Triple;
  readonly interpolation: 'bicubic' | 'bilinear';
  /** True if the filter is widened when shrinking, as PIL always does. */
  readonly antialias: boolean;
  /** `shortest`: shortest side to `size`, then centre crop. `squash`: both sides to `size`. */
  readonly resizeMode: 'shortest' | 'squash';
}

/** Channel statistics in use, by the name of where they come from. */
export const channelStatistics = {
  /** OpenAI's CLIP. */
  openai: {
    mean: [0.48145466, 0.4578275, 0.40821073],
    std: [0.26862954, 0.26130258, 0.27577711],
  },
  /** ImageNet: SLIP, timm. */
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  /** Values in [-1, 1]: SigLIP, big_vision. */
  inception: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  /** Values in [0, 1]: MobileCLIP. */
  unit: { mean: [0, 0, 0], std: [1, 1, 1] },
} as const satisfies Record<string, { mean: Triple; std: Triple }>;

/** The preprocessing of OpenAI's CLIP for inputs of `size`, with changes. */
export function preprocessFor(size: number, changes: Partial<Preprocess> = {}): Preprocess {
  return {
    size,
    ...channelStatistics.openai,
    interpolation: 'bicubic',
    antialias: true,
    resizeMode: 'shortest',
    ...changes,
  };
}

/** The `preprocess_cfg` of an `open_clip_config.json`. */
export interface OpenClipPreprocess {
  size: number;
  mode: 'RGB';
  mean: number[];
  std: number[];
  interpolation: string;
  resize_mode: string;
  fill_color: number;
}

/** The `preprocess_cfg` that makes OpenCLIP prepare images in the same way. */
export function toOpenClipPreprocess(preprocess: Preprocess): OpenClipPreprocess {
  const { size, mean, std, interpolation, resizeMode, antialias } = preprocess;
  if (!antialias) {
    throw new BantamError('OpenCLIP has no resizing without antialias; set "antialias" to true.');
  }
  return {
    size,
    mode: 'RGB',
    mean: [...mean],
    std: [...std],
    interpolation,
    resize_mode: resizeMode,
    fill_color: 0,
  };
}

/**
 * Reads a `preprocess_cfg`. Absent members have OpenCLIP's defaults; `size` is the model's image
 * size where the record has none.
 */
export function fromOpenClipPreprocess(config: unknown, size: number): Preprocess {
  const given = (typeof config === 'object' && config !== null ? config : {}) as Partial<
    Record<keyof OpenClipPreprocess, unknown>
  >;
  return {
    size: squareSize(given.size ?? size),
    mean: readTriple(given.mean ?? channelStatistics.openai.mean, 'mean', WHERE),
    std: readTriple(given.std ?? channelStatistics.openai.std, 'std', WHERE),
    interpolation: oneOf(given.interpolation ?? 'bicubic', 'interpolation', [
      'bicubic',
      'bilinear',
    ] as const),
    antialias: true,
    resizeMode: oneOf(given.resize_mode ?? 'shortest', 'resize_mode', [
      'shortest',
      'squash',
    ] as const),
  };
}

function squareSize(value: unknown): number {
  const [height, width] = Array.isArray(value) ? (value as unknown[]) : [value, value];
  if (typeof height === 'number' && height === width && Number.isInteger(height) && height > 0) {
    return height;
  }
  throw unusable('size', value, 'a positive integer, or twice the same one');
}

/** @throws BantamError unless the value is a number for each of red, green and blue. */
export function readTriple(value: unknown, key: string, where: string): Triple {
  if (Array.isArray(value)) {
    const [red, green, blue, ...rest] = value as unknown[];
    const numbers = typeof red === 'number' && typeof green === 'number';
    if (numbers && typeof blue === 'number' && rest.length === 0) return [red, green, blue];
  }
  throw unusable(key, value, 'three numbers', where);
}

function oneOf<T extends string>(value: unknown, key: string, known: readonly T[]): T {
  const found = known.find((name) => name === value);
  if (found === undefined) throw unusable(key, value, known.join(' or '));
  return found;
}

function unusable(key: string, value: unknown, wanted: string, where = WHERE): BantamError {
  return new BantamError(
    `"${key}" of ${where} is ${JSON.stringify(value)}, but Bantam needs ${wanted}.`,
  );
}

const normalizePixelsOp = new Operator('bantam::normalize_pixels');

/**
 * (x/255 − mean)/std per channel: 8-bit pixels [B, H, W, 3] → float32 [B, 3, H, W] on the same
 * device.
 */
export function normalizePixels(pixels: Tensor, { mean, std }: Preprocess): Tensor {
  const { device } = pixels;
  const perChannel = (values: readonly number[]) =>
    tensor(
      values.map((value) => 255 * value),
      { device },
    );
  return normalizePixelsOp.tensor(pixels, perChannel(mean), perChannel(std));
}
