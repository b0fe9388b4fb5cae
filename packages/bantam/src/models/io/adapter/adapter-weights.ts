/** Tensors of an adapter under PEFT's names. */
import { add, lowRankProduct, mul, reshape, to, type Tensor } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import type { NamedChange } from '../../surgery/lora.js';
import type { Weights } from '../formats/format.js';
import { withoutPrefix } from '../prefixes.js';
import type { AdapterConfig } from './adapter-config.js';

/** PEFT's wrapper of the whole model. */
const PREFIX = 'base_model.model.';

/** Ending of the module of an attention's second product, which PEFT wraps within the first's. */
const OUTER = '.base_layer.out_proj';

/**
 * PEFT (0.21.2) adds the change of an attention's second product twice when it merges it, which for
 * attentions it does in every forward pass: adapters that it trained expect that.
 */
const OUTER_TIMES = 2;

/** A change of a module's weight, s·B·A. */
export interface ModuleChange {
  /** Name of the module, such as `visual.transformer.resblocks.0.mlp.c_fc`. */
  readonly module: string;
  readonly a: Tensor;
  readonly b: Tensor;
  readonly scale: number;
}

/**
 * The changes that an adapter's tensors are.
 *
 * @throws BantamError naming a tensor that is no A or B of a linear layer.
 */
export function moduleChanges(
  tensors: Weights,
  { scale }: Pick<AdapterConfig, 'scale'>,
  file: string,
): ModuleChange[] {
  const pairs = new Map<string, { a?: Tensor; b?: Tensor }>();
  for (const [name, tensor] of tensors) {
    const [, module, letter] = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name) ?? [];
    if (module === undefined) {
      throw new BantamError(
        `${file} holds ${name}, which is no change of low rank of a linear layer; merge the adapter into its base model with PEFT, and name the result.`,
      );
    }
    const pair = pairs.get(module) ?? {};
    pairs.set(module, letter === 'A' ? { ...pair, a: tensor } : { ...pair, b: tensor });
  }
  if (pairs.size === 0) throw new BantamError(`${file} holds no change; save the adapter again.`);
  return [...withoutPrefix(pairs, file)].map(([module, { a, b }]) => {
    if (a === undefined || b?.dim(1) !== a.dim(0)) {
      throw new BantamError(
        `${file} holds no two matrices of one rank for ${module}; save the adapter again.`,
      );
    }
    const isOuter = module.endsWith(OUTER);
    const times = isOuter ? OUTER_TIMES : 1;
    const target = isOuter ? module.slice(0, -OUTER.length) : module;
    return { module, a, b, scale: times * scale(target, a.dim(0)) };
  });
}

/** The name of the weight that a module's change is of; undefined: the model has none. */
function weightOf(module: string, weights: Weights): string | undefined {
  const candidates = module.endsWith(OUTER)
    ? [`${module.slice(0, -OUTER.length)}.out_proj.weight`]
    : [`${module}.weight`, `${module}.in_proj_weight`];
  return candidates.find((name) => weights.has(name));
}

/** True if weights have the names of all modules that are changed. */
export function namesAll(weights: Weights, changes: readonly ModuleChange[]): boolean {
  return changes.every(({ module }) => weightOf(module, weights) !== undefined);
}

/**
 * Weights with the changes merged in, W + s·B·A, as float32.
 *
 * @param file - The adapter, for messages
 * @throws BantamError naming the first module that the weights lack, or of another shape.
 */
export function withChanges(
  weights: Weights,
  changes: readonly ModuleChange[],
  file: string,
): Weights {
  const changed = new Map(weights);
  for (const { module, a, b, scale } of changes) {
    const name = weightOf(module, weights);
    const weight = name === undefined ? undefined : weights.get(name);
    if (name === undefined || weight === undefined) {
      throw new BantamError(
        `${file} changes the module ${module}, which its base model lacks; name the base model that it was trained on.`,
      );
    }
    const [rank, outputs] = [a.dim(0), b.dim(0)];
    if (weight.dim(0) !== outputs || weight.size * rank !== outputs * a.size) {
      throw new BantamError(
        `${file} changes ${module} by [${outputs}, ${rank}]·[${a.shape.join(', ')}], but its base model has a weight of [${weight.shape.join(', ')}] there; name the base model that it was trained on.`,
      );
    }
    const wide = (x: Tensor): Tensor => to(x, { dtype: 'float32' });
    // A kernel is one row for each of its outputs.
    const product = lowRankProduct(
      reshape(wide(b), [outputs, rank]),
      reshape(wide(a), [rank, -1]),
      scale,
    );
    changed.set(name, add(wide(weight), reshape(product, weight.shape)));
  }
  return changed;
}

/** A model's changes under PEFT's names, and the names of their modules as PEFT targets them. */
export interface PeftTensors {
  readonly modules: readonly string[];
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** The tensors of a model's changes under PEFT's names. New ones belong to the scope around. */
export function peftTensors(changes: readonly NamedChange[], state: Weights): PeftTensors {
  const names = new Set(changes.map(({ weight }) => weight));
  const modules: string[] = [];
  const tensors = new Map<string, Tensor>();
  for (const { weight, a, b } of changes) {
    const path = weight.replace(/\.(?:in_proj_)?weight$/, '');
    const attention = path.endsWith('.out_proj') ? path.slice(0, -'.out_proj'.length) : null;
    const isOuter = attention !== null && names.has(`${attention}.in_proj_weight`);
    const module = isOuter ? `${attention}${OUTER}` : path;
    if (!isOuter) modules.push(module);
    const [first, second] = [a, b].map((name) => state.get(name));
    if (first === undefined || second === undefined) {
      throw new RangeError(`There is no change of ${weight}.`);
    }
    tensors.set(`${PREFIX}${module}.lora_A.weight`, first);
    tensors.set(
      `${PREFIX}${module}.lora_B.weight`,
      isOuter ? mul(second, 1 / OUTER_TIMES) : second,
    );
  }
  return { modules, tensors };
}
