import {
  at,
  cat,
  chunk,
  clone,
  contiguous,
  reshape,
  split,
  transpose,
  type Tensor,
} from '@bantam/torch';
import type { ModelConfig } from '../../config.js';

/**
 * Tensors of Bantam's and of Hugging Face's names that hold the same numbers: one on one side may be
 * several on the other, joined along the rows in this order.
 */
interface Pairing {
  readonly ours: readonly string[];
  readonly theirs: readonly string[];
  /** Rows of each of ours as fractions of all; default: equal ones. */
  readonly fractions?: readonly number[];
  /** `transposed`: theirs is the transpose; `list`: theirs is without our first dimension of 1. */
  readonly form?: 'transposed' | 'list';
}

/** True if weights have the names of `transformers`. */
export function isHubNamed(weights: ReadonlyMap<string, unknown>): boolean {
  return weights.has('vision_model.embeddings.patch_embedding.weight');
}

/** Both parameters of a layer. */
function layer(ours: string, theirs: string): Pairing[] {
  return ['weight', 'bias'].map((name) => ({
    ours: [`${ours}.${name}`],
    theirs: [`${theirs}.${name}`],
  }));
}

/** A layer for q, k and v, which Hugging Face has one of for each. */
function queryKeyValue(ours: { weight: string; bias: string }, attention: string): Pairing[] {
  return (['weight', 'bias'] as const).map((name) => ({
    ours: [ours[name]],
    theirs: ['q', 'k', 'v'].map((part) => `${attention}.${part}_proj.${name}`),
  }));
}

/** The blocks of OpenCLIP's transformer. */
function resblocks(ours: string, theirs: string, layers: number): Pairing[] {
  return Array.from({ length: layers }, (_, i) => {
    const [own, other] = [`${ours}.resblocks.${i}`, `${theirs}.encoder.layers.${i}`];
    const joint = `${own}.attn.in_proj`;
    return [
      ...layer(`${own}.ln_1`, `${other}.layer_norm1`),
      ...queryKeyValue({ weight: `${joint}_weight`, bias: `${joint}_bias` }, `${other}.self_attn`),
      ...layer(`${own}.attn.out_proj`, `${other}.self_attn.out_proj`),
      ...layer(`${own}.ln_2`, `${other}.layer_norm2`),
      ...layer(`${own}.mlp.c_fc`, `${other}.mlp.fc1`),
      ...layer(`${own}.mlp.c_proj`, `${other}.mlp.fc2`),
    ];
  }).flat();
}

/** The blocks of timm's transformer. */
function timmBlocks(layers: number): Pairing[] {
  return Array.from({ length: layers }, (_, i) => {
    const [own, other] = [`visual.trunk.blocks.${i}`, `vision_model.encoder.layers.${i}`];
    const qkv = `${own}.attn.qkv`;
    return [
      ...layer(`${own}.norm1`, `${other}.layer_norm1`),
      ...queryKeyValue({ weight: `${qkv}.weight`, bias: `${qkv}.bias` }, `${other}.self_attn`),
      ...layer(`${own}.attn.proj`, `${other}.self_attn.out_proj`),
      ...layer(`${own}.norm2`, `${other}.layer_norm2`),
      ...layer(`${own}.mlp.fc1`, `${other}.mlp.fc1`),
      ...layer(`${own}.mlp.fc2`, `${other}.mlp.fc2`),
    ];
  }).flat();
}

const one = (ours: string, theirs: string, form?: Pairing['form']): Pairing => ({
  ours: [ours],
  theirs: [theirs],
  ...(form !== undefined && { form }),
});

function clipVision(layers: number): Pairing[] {
  const embeddings = 'vision_model.embeddings';
  return [
    one('visual.class_embedding', `${embeddings}.class_embedding`),
    one('visual.positional_embedding', `${embeddings}.position_embedding.weight`),
    one('visual.conv1.weight', `${embeddings}.patch_embedding.weight`),
    // The misspelling is theirs.
    ...layer('visual.ln_pre', 'vision_model.pre_layrnorm'),
    ...resblocks('visual.transformer', 'vision_model', layers),
    ...layer('visual.ln_post', 'vision_model.post_layernorm'),
    one('visual.proj', 'visual_projection.weight', 'transposed'),
  ];
}

function siglipVision(layers: number): Pairing[] {
  const embeddings = 'vision_model.embeddings';
  const [pool, head] = ['visual.trunk.attn_pool', 'vision_model.head'];
  const joint = (name: string): Pairing => ({
    ours: [`${pool}.q.${name}`, `${pool}.kv.${name}`],
    theirs: [`${head}.attention.in_proj_${name}`],
    fractions: [1 / 3, 2 / 3],
  });
  return [
    one('visual.trunk.pos_embed', `${embeddings}.position_embedding.weight`, 'list'),
    ...layer('visual.trunk.patch_embed.proj', `${embeddings}.patch_embedding`),
    ...timmBlocks(layers),
    ...layer('visual.trunk.norm', 'vision_model.post_layernorm'),
    one(`${pool}.latent`, `${head}.probe`),
    joint('weight'),
    joint('bias'),
    ...layer(`${pool}.proj`, `${head}.attention.out_proj`),
    ...layer(`${pool}.norm`, `${head}.layernorm`),
    ...layer(`${pool}.mlp.fc1`, `${head}.mlp.fc1`),
    ...layer(`${pool}.mlp.fc2`, `${head}.mlp.fc2`),
  ];
}

function textTower(prefix: string, layers: number): Pairing[] {
  const embeddings = 'text_model.embeddings';
  return [
    one(`${prefix}token_embedding.weight`, `${embeddings}.token_embedding.weight`),
    one(`${prefix}positional_embedding`, `${embeddings}.position_embedding.weight`),
    ...resblocks(`${prefix}transformer`, 'text_model', layers),
    ...layer(`${prefix}ln_final`, 'text_model.final_layer_norm'),
  ];
}

function pairings({ vision, text, customText }: ModelConfig): Pairing[] {
  const prefix = customText ? 'text.' : '';
  const layers = 'layers' in vision ? vision.layers : 0;
  const shared = [...textTower(prefix, text.layers), one('logit_scale', 'logit_scale')];
  return vision.type === 'siglip-vit'
    ? [
        ...siglipVision(layers),
        ...shared,
        ...layer(`${prefix}text_projection`, 'text_model.head'),
        one('logit_bias', 'logit_bias'),
      ]
    : [
        ...clipVision(layers),
        ...shared,
        one(`${prefix}text_projection`, 'text_projection.weight', 'transposed'),
      ];
}

/**
 * Weights of a `CLIPModel` or `SiglipModel` by Bantam's names. What has no counterpart keeps its
 * name; the lists of positions' numbers that older files hold are left out.
 */
export function fromHubWeights(
  theirs: ReadonlyMap<string, Tensor>,
  config: ModelConfig,
): Map<string, Tensor> {
  const left = new Map([...theirs].filter(([name]) => !name.endsWith('.position_ids')));
  const weights = new Map<string, Tensor>();
  for (const { ours, theirs: names, fractions, form } of pairings(config)) {
    const parts = names.flatMap((name) => theirs.get(name) ?? []);
    if (parts.length < names.length) continue;
    for (const name of names) left.delete(name);
    let whole = parts.length > 1 ? cat(parts) : at(parts, 0);
    if (form === 'transposed') whole = contiguous(transpose(whole, 0, 1));
    if (form === 'list') whole = reshape(whole, [1, ...whole.shape]);
    splitRows(whole, ours, fractions).forEach((part, i) => weights.set(at(ours, i), part));
  }
  return new Map([...left, ...weights]);
}

/** Weights of a model by Hugging Face's names: as float32, and none of them views. */
export function toHubWeights(
  own: ReadonlyMap<string, Tensor>,
  config: ModelConfig,
): Map<string, Tensor> {
  const weights = new Map<string, Tensor>();
  for (const { ours, theirs, form } of pairings(config)) {
    const parts = ours.flatMap((name) => own.get(name) ?? []);
    let whole = parts.length > 1 ? cat(parts) : at(parts, 0);
    if (form === 'transposed') whole = contiguous(transpose(whole, 0, 1));
    if (form === 'list') whole = reshape(whole, whole.shape.slice(1));
    const split = theirs.length === 1 ? [whole] : chunk(whole, theirs.length).map(clone);
    split.forEach((part, i) => weights.set(at(theirs, i), part));
  }
  if (config.vision.type === 'siglip-vit') {
    for (const name of ['logit_scale', 'logit_bias']) {
      const scalar = weights.get(name);
      if (scalar !== undefined) weights.set(name, reshape(scalar, [1]));
    }
  }
  return weights;
}

function splitRows(
  whole: Tensor,
  names: readonly string[],
  fractions: readonly number[] | undefined,
): Tensor[] {
  if (names.length === 1) return [whole];
  const rows = whole.dim(0);
  return split(
    whole,
    names.map((_, i) =>
      Math.round(rows * (fractions === undefined ? 1 / names.length : at(fractions, i))),
    ),
  );
}
