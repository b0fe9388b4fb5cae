import { nearest } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { isObject, type Fields } from '../../base/fields.js';
import type { OpenClipTower } from '../tower.js';

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

/** Members that OpenCLIP does not have. */
const foreign = ['block', 'sharedLayers', 'shared', 'moe'];

/** What OpenCLIP 3.3 also knows of transformers: its value that means what Bantam does. */
const unsupportedTransformer = {
  block_type: null,
  qk_norm: false,
  scaled_cosine_attn: false,
  scale_heads: false,
  scale_attn_inner: false,
  scale_attn: false,
  scale_fc: false,
  timm_model_name: null,
};

/** Without meaning for what a tower computes, unless a member that makes another kind of tower is set. */
const idle = [
  // What encode gives when it is asked for tokens.
  'output_tokens',
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

/** A configuration's member as OpenCLIP writes it: `patchSize` → `patch_size`. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The members by OpenCLIP's names; options at its defaults are left out. */
export function writeMembers<T extends object>(
  values: T,
  fields: Fields<T>,
): Record<string, unknown> {
  const written: Record<string, unknown> = {};
  for (const key of Object.keys(fields) as (keyof T & string)[]) {
    if ([...nested, ...foreign].includes(key)) continue;
    const isDefault = fields[key].fallback === values[key];
    if (sizes.includes(key) || !isDefault) written[snakeCase(key)] = values[key];
  }
  return written;
}

/** A transformer's `vision_cfg` or `text_cfg`. */
export function writeTransformer<T extends { normEps: number; geluTanh: boolean }>(
  tower: T,
  fields: Fields<Omit<T, 'type'>>,
): OpenClipTower {
  const all = fields as Fields<T>;
  return {
    ...writeMembers<T>(tower, all),
    ...(tower.normEps !== all.normEps.fallback && { norm_kwargs: { eps: tower.normEps } }),
    ...(tower.geluTanh && { act_kwargs: { approximate: 'tanh' } }),
  };
}

/** What {@link readMembers} goes by. */
export interface ReadMembersOptions<T> {
  readonly fields: Fields<T>;
  /** OpenCLIP's members that Bantam lacks, each with the value that asks for nothing. */
  readonly unsupported: Readonly<Record<string, unknown>>;
  /** Takes the names of the members that do ask for something. */
  readonly missing: string[];
}

/** Members by Bantam's names from a `vision_cfg` or `text_cfg` of a transformer. */
export function readTransformer<T>(
  tower: OpenClipTower,
  where: string,
  { fields, unsupported, missing }: ReadMembersOptions<T>,
): Record<string, unknown> {
  const { norm_kwargs, act_kwargs, ...rest }: Record<string, unknown> = tower;
  for (const key of ['image_size', 'patch_size']) {
    if (key in rest) rest[key] = oneEdge(rest[key]);
  }
  const others = { ...unsupportedTransformer, ...unsupported };
  const read = readMembers(rest, where, { fields, unsupported: others, missing });
  const { eps, ...norms } = isObject(norm_kwargs) ? norm_kwargs : {};
  const { approximate, ...activations } = isObject(act_kwargs) ? act_kwargs : {};
  for (const key of Object.keys(norms)) missing.push(`${where}.norm_kwargs.${key}`);
  for (const key of Object.keys(activations)) missing.push(`${where}.act_kwargs.${key}`);
  if (eps !== undefined) read.normEps = eps;
  read.geluTanh = approximate === 'tanh';
  return read;
}

/** The number for a pair of equal ones, which is how a square may be written. */
export function oneEdge(value: unknown): unknown {
  return Array.isArray(value) && value.length === 2 && value[0] === value[1]
    ? (value[0] as unknown)
    : value;
}

/**
 * Members by Bantam's names from OpenCLIP's.
 *
 * @throws BantamError for a member that OpenCLIP does not know.
 */
export function readMembers<T>(
  values: OpenClipTower,
  where: string,
  { fields, unsupported, missing }: ReadMembersOptions<T>,
): Record<string, unknown> {
  const camelCase = new Map(
    Object.keys(fields)
      .filter((key) => ![...nested, ...foreign].includes(key))
      .map((key) => [snakeCase(key), key]),
  );
  const read: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    const name = camelCase.get(key);
    if (name !== undefined) read[name] = value;
    else if (key in unsupported) {
      const member = `${where}.${key}`;
      const neutral =
        value === unsupported[key] || value === null || value === false || value === '';
      if (!neutral) missing.push(isObject(value) ? member : `${member} ${JSON.stringify(value)}`);
    } else if (!idle.includes(key)) {
      const known = [...camelCase.keys(), ...Object.keys(unsupported)];
      throw new BantamError(
        `"${key}" of ${where} is not known to OpenCLIP 3.3; the nearest name is "${nearest(key, known) ?? ''}".`,
      );
    }
  }
  return read;
}
