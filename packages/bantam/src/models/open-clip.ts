import { BantamError } from '../errors.js';
import { nearest } from '../nearest.js';
import {
  parseModelConfig,
  textFields,
  topFields,
  visionFields,
  type ModelConfig,
  type TextConfig,
  type VisionConfig,
} from './config.js';
import { isObject, type Fields } from './fields.js';

/** The `model_cfg` of an `open_clip_config.json`. */
export type OpenClipModelConfig = Readonly<Record<string, unknown>>;

/** Always written, whatever OpenCLIP's default is, so that a reader sees the model's size. */
const sizes = [
  'imageSize',
  'patchSize',
  'width',
  'headWidth',
  'heads',
  'layers',
  'mlpRatio',
  'contextLength',
  'vocabSize',
  'embedDim',
];

/** Members that OpenCLIP keeps in objects of their own: `norm_kwargs.eps`, `act_kwargs.approximate`. */
const nested = ['normEps', 'geluTanh'];

/** What OpenCLIP 3.3 also knows: its value that means what Bantam does, or nothing at all. */
const unsupportedTop = {
  init_logit_bias: null,
  nonscalar_logit_scale: false,
  multimodal_cfg: null,
};
const unsupportedTower = {
  output_tokens: false,
  block_type: null,
  qk_norm: false,
  scaled_cosine_attn: false,
  scale_heads: false,
  scale_attn_inner: false,
  scale_attn: false,
  scale_fc: false,
};
const unsupportedVision = {
  ...unsupportedTower,
  attentional_pool: false,
  pos_embed_type: 'learnable',
  timm_model_name: null,
};
const unsupportedText = {
  ...unsupportedTower,
  tokenizer_mode: null,
  embed_cls: false,
  hf_model_name: null,
};

/** Without meaning unless one of the unsupported members above is set. */
const idle = [
  'attn_pooler_queries',
  'attn_pooler_heads',
  'timm_model_pretrained',
  'timm_pool',
  'timm_proj',
  'timm_proj_bias',
  'timm_drop',
  'timm_drop_path',
  'hf_model_pretrained',
  'hf_proj_type',
  'hf_pooler_type',
];

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The `model_cfg` by which OpenCLIP builds the same model. Options at its defaults are left out. */
export function toOpenClip(config: ModelConfig): OpenClipModelConfig {
  const { vision, text, ...top } = config;
  return {
    ...writeMembers(top, topFields),
    vision_cfg: writeTower(vision, visionFields),
    text_cfg: writeTower(text, textFields),
  };
}

function writeTower<T extends VisionConfig | TextConfig>(
  tower: T,
  fields: Fields<T>,
): Record<string, unknown> {
  const written = writeMembers(tower, fields);
  if (tower.normEps !== visionFields.normEps.fallback) written.norm_kwargs = { eps: tower.normEps };
  if (tower.geluTanh) written.act_kwargs = { approximate: 'tanh' };
  return written;
}

function writeMembers<T extends object>(values: T, fields: Fields<T>): Record<string, unknown> {
  const written: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    if (nested.includes(key)) continue;
    const isDefault = fields[key as keyof T].fallback === value;
    if (sizes.includes(key) || !isDefault) written[snakeCase(key)] = value;
  }
  return written;
}

/**
 * Reads the `model_cfg` of an `open_clip_config.json` (OpenCLIP 3.3).
 *
 * @throws BantamError naming members that OpenCLIP does not know, or that ask for a part that
 * Bantam does not have.
 */
export function fromOpenClip(modelCfg: unknown): ModelConfig {
  const unsupported: string[] = [];
  const { vision_cfg, text_cfg, ...rest } = asObject(modelCfg, 'model_cfg');
  const top = readMembers(rest, 'model_cfg', topFields, unsupportedTop, unsupported);
  const vision = readTower(vision_cfg, 'vision_cfg', visionFields, unsupportedVision, unsupported);
  const text = readTower(text_cfg, 'text_cfg', textFields, unsupportedText, unsupported);
  if (unsupported.length > 0) {
    throw new BantamError(
      `Bantam has no models with ${unsupported.join(', ')}; ` +
        `use a model directory of a CLIP with a plain ViT and text transformer.`,
    );
  }
  return parseModelConfig({ ...top, vision, text });
}

function asObject(value: unknown, where: string): Record<string, unknown> {
  if (isObject(value)) return value;
  throw new BantamError(`"${where}" is missing or no object; take it from OpenCLIP's own file.`);
}

function readTower<T extends VisionConfig | TextConfig>(
  value: unknown,
  where: string,
  fields: Fields<T>,
  others: Readonly<Record<string, unknown>>,
  unsupported: string[],
): Record<string, unknown> {
  const { norm_kwargs, act_kwargs, ...rest } = asObject(value, where);
  if (Array.isArray(rest.layers)) {
    unsupported.push(`${where}.layers ${JSON.stringify(rest.layers)}`);
    delete rest.layers;
  }
  for (const key of ['image_size', 'patch_size']) {
    if (key in rest) rest[key] = oneEdge(rest[key]);
  }
  const read = readMembers(rest, where, fields, others, unsupported);
  const { eps, ...norms } = isObject(norm_kwargs) ? norm_kwargs : {};
  const { approximate, ...activations } = isObject(act_kwargs) ? act_kwargs : {};
  for (const key of Object.keys(norms)) unsupported.push(`${where}.norm_kwargs.${key}`);
  for (const key of Object.keys(activations)) unsupported.push(`${where}.act_kwargs.${key}`);
  if (eps !== undefined) read.normEps = eps;
  read.geluTanh = approximate === 'tanh';
  return read;
}

/** The number for a pair of equal ones, which is how a square may be written. */
function oneEdge(value: unknown): unknown {
  return Array.isArray(value) && value.length === 2 && value[0] === value[1] ? value[0] : value;
}

function readMembers<T>(
  values: Readonly<Record<string, unknown>>,
  where: string,
  fields: Fields<T>,
  others: Readonly<Record<string, unknown>>,
  unsupported: string[],
): Record<string, unknown> {
  const camelCase = new Map(
    Object.keys(fields)
      .filter((key) => !nested.includes(key))
      .map((key) => [snakeCase(key), key]),
  );
  const read: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    const name = camelCase.get(key);
    if (name !== undefined) read[name] = value;
    else if (key in others) {
      const member = `${where}.${key}`;
      const neutral = value === others[key] || value === null || value === false || value === '';
      if (!neutral)
        unsupported.push(isObject(value) ? member : `${member} ${JSON.stringify(value)}`);
    } else if (!idle.includes(key)) {
      const known = [...camelCase.keys(), ...Object.keys(others)];
      throw new BantamError(
        `"${key}" of ${where} is not known to OpenCLIP 3.3; the nearest name is "${nearest(key, known) ?? ''}".`,
      );
    }
  }
  return read;
}
