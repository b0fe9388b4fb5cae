import * as v from 'valibot';
import { didYouMean } from '../../base/did-you-mean.js';
import { BantamError } from '../../base/errors.js';
import { isObject, type Entries } from '../../base/schema.js';
import type { OpenClipTower } from '../tower.js';

/** Written even at OpenCLIP's default, so that a reader sees the model's size. */
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

/** Further members of transformers in OpenCLIP 3.3, with the values that Bantam computes. */
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

/** Members without an effect on a tower of these kinds. */
const idle = [
  // Return value of OpenCLIP's towers alone.
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

/** A setting's name in OpenCLIP: `patchSize` → `patch_size`. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The members by OpenCLIP's names; options at its defaults are left out. */
export function writeMembers(values: object, entries: Entries): Record<string, unknown> {
  const written: Record<string, unknown> = {};
  const given = new Map<string, unknown>(Object.entries(values));
  for (const [key, schema] of Object.entries(entries)) {
    if ([...nested, ...foreign].includes(key)) continue;
    const value = given.get(key);
    const isDefault = defaultOf(schema) === value;
    if (sizes.includes(key) || !isDefault) written[snakeCase(key)] = value;
  }
  return written;
}

function defaultOf(schema: Entries[string]): unknown {
  return v.getDefault(schema);
}

/** A transformer's `vision_cfg` or `text_cfg`. */
export function writeTransformer(
  tower: { readonly normEps: number; readonly geluTanh: boolean },
  entries: Entries & { readonly normEps: Entries[string] },
): OpenClipTower {
  return {
    ...writeMembers(tower, entries),
    ...(tower.normEps !== defaultOf(entries.normEps) && {
      norm_kwargs: { eps: tower.normEps },
    }),
    ...(tower.geluTanh && { act_kwargs: { approximate: 'tanh' } }),
  };
}

/** Options of {@link readMembers}. */
export interface ReadMembersOptions {
  /** Settings that may be read, by Bantam's names. */
  readonly entries: Entries;
  /** OpenCLIP's members that Bantam lacks, each with the value that has no effect. */
  readonly unsupported: Readonly<Record<string, unknown>>;
  /** Receives the names of the members that have an effect which Bantam lacks. */
  readonly missing: string[];
}

/** Members by Bantam's names from a `vision_cfg` or `text_cfg` of a transformer. */
export function readTransformer(
  tower: OpenClipTower,
  where: string,
  { entries, unsupported, missing }: ReadMembersOptions,
): Record<string, unknown> {
  const { norm_kwargs, act_kwargs, ...rest }: Record<string, unknown> = tower;
  for (const key of ['image_size', 'patch_size']) {
    if (key in rest) rest[key] = sideLength(rest[key]);
  }
  const others = { ...unsupportedTransformer, ...unsupported };
  const read = readMembers(rest, where, { entries, unsupported: others, missing });
  const { eps, ...norms } = isObject(norm_kwargs) ? norm_kwargs : {};
  const { approximate, ...activations } = isObject(act_kwargs) ? act_kwargs : {};
  for (const key of Object.keys(norms)) missing.push(`${where}.norm_kwargs.${key}`);
  for (const key of Object.keys(activations)) missing.push(`${where}.act_kwargs.${key}`);
  if (eps !== undefined) read.normEps = eps;
  read.geluTanh = approximate === 'tanh';
  return read;
}

/** The side length of a square, which may be written as a pair of equal numbers. */
export function sideLength(value: unknown): unknown {
  return Array.isArray(value) && value.length === 2 && value[0] === value[1]
    ? (value[0] as unknown)
    : value;
}

/**
 * Members by Bantam's names from OpenCLIP's.
 *
 * @throws BantamError for a member that OpenCLIP does not know.
 */
export function readMembers(
  values: OpenClipTower,
  where: string,
  { entries, unsupported, missing }: ReadMembersOptions,
): Record<string, unknown> {
  const camelCase = new Map(
    Object.keys(entries)
      .filter((key) => ![...nested, ...foreign].includes(key))
      .map((key) => [snakeCase(key), key]),
  );
  const read: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    const name = camelCase.get(key);
    if (name !== undefined) {
      // As in OpenCLIP's own files, null stands for a default.
      if (value !== null) read[name] = value;
    } else if (key in unsupported) {
      const member = `${where}.${key}`;
      const neutral =
        value === unsupported[key] || value === null || value === false || value === '';
      if (!neutral) missing.push(isObject(value) ? member : `${member} ${JSON.stringify(value)}`);
    } else if (!idle.includes(key)) {
      const known = [...camelCase.keys(), ...Object.keys(unsupported)];
      throw new BantamError(
        `"${key}" of ${where} is not known to OpenCLIP 3.3${didYouMean(key, known)}.`,
      );
    }
  }
  return read;
}
