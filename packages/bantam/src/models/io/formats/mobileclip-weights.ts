/**
 * The layout of the checkpoints that Apple published with MobileCLIP (Vasu et al. 2024): the same
 * tensors as Bantam's under other names. The `.pt` files there are pickles; save their state dict
 * with the Python package safetensors.
 */
import { onDevice, reshape, transpose, zeros, type Tensor } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { createModel, type Clip } from '../../clip.js';
import type { ModelConfig } from '../../config.js';

type Rule = readonly [pattern: RegExp, replacement: string];

/** Apple counts the parts between the stem and the last convolution through. */
const imageRules: readonly Rule[] = [
  [/^trunk\.stem\./, 'patch_embed.'],
  [/^trunk\.stages\.0\.blocks\./, 'network.0.'],
  [/^trunk\.stages\.1\.downsample\./, 'network.1.'],
  [/^trunk\.stages\.1\.blocks\./, 'network.2.'],
  [/^trunk\.stages\.2\.downsample\./, 'network.3.'],
  [/^trunk\.stages\.2\.blocks\./, 'network.4.'],
  [/^trunk\.stages\.3\.downsample\./, 'network.5.'],
  [/^trunk\.stages\.3\.pos_emb\./, 'network.6.'],
  [/^trunk\.stages\.3\.blocks\./, 'network.7.'],
  [/^trunk\.final_conv\.(se\.)?/, 'conv_exp.$1'],
  [/^trunk\.head\.fc\.weight$/, 'head.proj'],
  [/^(conv_exp\.se)\.fc1\./, '$1.reduce.'],
  [/^(conv_exp\.se)\.fc2\./, '$1.expand.'],
  [/^(network\.\d\.proj\.0)\.reparam_conv\./, '$1.lkb_reparam.'],
  [/\.large_conv\./, '.lkb_origin.'],
  [/\.pos_enc\./, '.pe.'],
];

const blockRules: readonly Rule[] = [
  [/\.conv_kxk\./, '.rbr_conv.'],
  [/\.conv_scale\./, '.rbr_scale.'],
  [/\.identity\./, '.rbr_skip.'],
  [/\.mlp\.(conv|fc)/, '.convffn.$1'],
  [/\.(layer_scale\w*)\.gamma$/, '.$1'],
];

const textRules: readonly Rule[] = [
  [/^token_embedding\./, 'embedding_layer.'],
  [/^positional_embedding$/, 'positional_embedding.pos_embed.pos_embed'],
  [/^ln_final\./, 'final_layer_norm.'],
  [/^text_projection$/, 'projection_layer'],
  [/\.ln_1\./, '.pre_norm_mha.0.'],
  [/\.attn\.in_proj_/, '.pre_norm_mha.1.qkv_proj.'],
  [/\.attn\.out_proj\./, '.pre_norm_mha.1.out_proj.'],
  [/\.ln_2\./, '.pre_norm_ffn.0.'],
  [/\.mlp\.c_fc\./, '.pre_norm_ffn.1.'],
  [/\.mlp\.c_proj\./, '.pre_norm_ffn.4.'],
];

function apply(name: string, rules: readonly Rule[]): string {
  return rules.reduce(
    (result, [pattern, replacement]) => result.replace(pattern, replacement),
    name,
  );
}

function imageName(name: string): string {
  return `image_encoder.model.${apply(`.${apply(name, imageRules)}`, blockRules).slice(1)}`;
}

/** The hybrid tower's first and last block are layers of its transformer there. */
function textName(name: string, { text }: ModelConfig): string {
  const hybrid = text.type === 'mobileclip';
  const counted = name
    .replace(/^transformer\.resblocks\.(\d+)/, (_, layer: string) => {
      return `transformer.${Number(layer) + (hybrid ? 1 : 0)}`;
    })
    .replace(/^mixer_in\./, 'transformer.0.')
    .replace(/^mixer_out\./, `transformer.${text.layers + 1}.`);
  return `text_encoder.${apply(apply(counted, textRules), blockRules)}`;
}

/** One tensor in both layouts. */
export interface Entry {
  /** Bantam's name. */
  readonly name: string;
  /** Apple's name; null: Apple's layout has no such tensor, and it must be 0. */
  readonly apple: string | null;
  /** Bantam's tensor. */
  readonly tensor: Tensor;
}

/**
 * Every tensor of a model, with its name in Apple's layout.
 *
 * @throws BantamError for an image tower of another kind, or simplified blocks.
 */
export function entriesOf(model: Clip): Entry[] {
  const { config } = model;
  if (config.vision.type !== 'mobileclip') {
    throw new BantamError(
      `MobileCLIP's layout holds no image tower of type "${config.vision.type}"; save the model in another format.`,
    );
  }
  if (config.text.type === 'bert') {
    throw new BantamError(
      `MobileCLIP's layout holds no text tower of type "bert"; save the model in another format.`,
    );
  }
  if (config.vision.attention === 'sas-p' || config.text.block === 'sas-p') {
    throw new BantamError(
      "MobileCLIP's layout holds no simplified blocks; save the model in another format.",
    );
  }
  const names = new Map([...model.stateDict()].map(([name, tensor]) => [tensor, name]));
  const entry = (tensor: Tensor, apple: string | null): Entry => {
    const name = names.get(tensor);
    if (name === undefined) throw new RangeError('A tensor has no name in the state dict.');
    return { name, apple, tensor };
  };
  const image = [...model.visual.stateDict()].map(([name, tensor]) =>
    entry(tensor, name === 'trunk.head.fc.bias' ? null : imageName(name)),
  );
  const text = [...model.text.stateDict()].map(([name, tensor]) =>
    entry(tensor, textName(name, config)),
  );
  return [...image, ...text, entry(model.logitScale, 'logit_scale')];
}

/** True if tensors are those of a checkpoint in Apple's layout. */
export function isMobileClip(tensors: ReadonlyMap<string, Tensor>): boolean {
  return tensors.has('text_encoder.embedding_layer.weight');
}

/**
 * A state dict for the model of a configuration, from the tensors of a checkpoint in Apple's layout.
 * A projection's bias, which these do not have, is 0.
 *
 * @throws BantamError naming tensors that are missing or left over.
 */
export function fromMobileClip(
  tensors: ReadonlyMap<string, Tensor>,
  config: ModelConfig,
): Map<string, Tensor> {
  using model = onDevice('meta', () => createModel(config, { generator: null }));
  const entries = entriesOf(model);
  const known = new Set(entries.map(({ apple }) => apple));
  const missing = entries.flatMap(({ apple }) =>
    apple === null || tensors.has(apple) ? [] : [`${apple} is missing`],
  );
  const left = [...tensors.keys()].filter((name) => !known.has(name));
  const [first, second = null, ...rest] = [...missing, ...left.map((name) => `${name} is unknown`)];
  if (first !== undefined) {
    const more = rest.length === 0 ? '' : `, and ${rest.length} more differ`;
    throw new BantamError(
      `The checkpoint in MobileCLIP's layout is of another model (${first}${second === null ? '' : `; ${second}`}${more}); use the preset of its own size, such as "MobileCLIP-S0".`,
    );
  }
  return new Map(
    entries.map(({ name, apple, tensor }) => {
      const given = apple === null ? undefined : tensors.get(apple);
      return [name, given === undefined ? zeros(tensor.shape) : convert(given, name, tensor.shape)];
    }),
  );
}

/** Apple multiplies by the image projection from the right, and has positions as [1, 1, L, W]. */
export function convert(tensor: Tensor, name: string, shape: readonly number[]): Tensor {
  if (name.endsWith('head.fc.weight')) return transpose(tensor, 0, 1);
  return name.endsWith('positional_embedding') ? reshape(tensor, shape) : tensor;
}
