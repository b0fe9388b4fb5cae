import { BantamError } from '../../../base/errors.js';
import { isObject } from '../../../base/schema.js';
import { channelStatistics, readTriple, type Preprocess } from '../../preprocess.js';
import type { HubConfig, HubModelType } from './hugging-face-config.js';

/** Interpolations by PIL's numbers for them, which Hugging Face writes. */
const resamples: Readonly<Record<number, Preprocess['interpolation']>> = {
  2: 'bilinear',
  3: 'bicubic',
};

const defaults: Readonly<Record<HubModelType, (size: number) => HubConfig>> = {
  clip: (size) => ({
    image_mean: channelStatistics.openai.mean,
    image_std: channelStatistics.openai.std,
    size: { shortest_edge: size },
    crop_size: size,
    do_center_crop: true,
  }),
  siglip: (size) => ({
    image_mean: channelStatistics.inception.mean,
    image_std: channelStatistics.inception.std,
    size: { height: size, width: size },
    do_center_crop: false,
  }),
};

/**
 * Reads a `preprocessor_config.json`. Absent members have the defaults of the model's own processor.
 *
 * @throws BantamError if it prepares images as Bantam does not, or for another size than the
 * model's.
 */
export function fromHubPreprocess(
  document: HubConfig,
  type: HubModelType,
  size: number,
): Preprocess {
  const given = { ...defaults[type](size), ...document };
  for (const key of ['do_resize', 'do_rescale', 'do_normalize']) {
    if (given[key] === false) refuse(key, false, 'true');
  }
  const scale = given.rescale_factor ?? 1 / 255;
  if (Math.abs(Number(scale) - 1 / 255) > 1e-6) refuse('rescale_factor', scale, '1/255');
  const interpolation = resamples[Number(given.resample ?? 3)];
  if (interpolation === undefined) return refuse('resample', given.resample, '2 or 3');
  return {
    size,
    mean: readTriple(given.image_mean, 'image_mean', 'the preprocessor'),
    std: readTriple(given.image_std, 'image_std', 'the preprocessor'),
    interpolation,
    antialias: true,
    resizeMode: resizeMode(given, size),
  };
}

function resizeMode(given: HubConfig, size: number): Preprocess['resizeMode'] {
  const wanted = `the model's own ${size} pixels`;
  const crop = given.do_center_crop === true ? squareSide(given.crop_size) : null;
  const { shortest_edge: shortest = null } = isObject(given.size) ? given.size : {};
  const side = shortest ?? (typeof given.size === 'number' ? given.size : null);
  if (crop !== null && crop !== size) refuse('crop_size', given.crop_size, wanted);
  if (side !== null) {
    if (side !== size) refuse('size', given.size, wanted);
    if (crop === null) refuse('do_center_crop', given.do_center_crop, 'true');
    return 'shortest';
  }
  if (squareSide(given.size) !== size) refuse('size', given.size, wanted);
  return 'squash';
}

/** Side length of a square; null: it is no square. */
function squareSide(value: unknown): unknown {
  if (!isObject(value)) return value;
  return value.height === value.width ? value.height : null;
}

function refuse(key: string, value: unknown, wanted: string): never {
  throw new BantamError(
    `"${key}" of the preprocessor is ${JSON.stringify(value)}, but Bantam needs ${wanted}.`,
  );
}

/**
 * The `preprocessor_config.json` by which `transformers` prepares images in the same way.
 *
 * @throws BantamError if it cannot.
 */
export function toHubPreprocess(preprocess: Preprocess, type: HubModelType): HubConfig {
  const { size, mean, std, interpolation, resizeMode: mode, antialias } = preprocess;
  if (!antialias) {
    throw new BantamError(
      'Hugging Face has no resizing without antialias; set "antialias" to true.',
    );
  }
  const square = { height: size, width: size };
  return {
    image_processor_type: type === 'clip' ? 'CLIPImageProcessor' : 'SiglipImageProcessor',
    processor_class: type === 'clip' ? 'CLIPProcessor' : 'SiglipProcessor',
    do_convert_rgb: true,
    do_resize: true,
    size: mode === 'shortest' ? { shortest_edge: size } : square,
    resample: interpolation === 'bicubic' ? 3 : 2,
    do_center_crop: mode === 'shortest',
    crop_size: square,
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: [...mean],
    image_std: [...std],
  };
}
