import {
  type FloatDType,
  hasAmx,
  Linear,
  type Module,
  MultiheadAttention,
  narrowWeights,
  packLinears,
  quantizeLinears,
  scope,
} from '@bantam/torch';
import { type Clip, createModel } from '../clip.js';
import { type ModelConfig, withChanges } from '../config.js';

/** Layers within blocks, of all kinds of towers; routers stay apart, because they compute in float32. */
const inBlock = /(?:^|\.)(?:res)?blocks\.\d+\.(?!.*router$)/;

/** Whether a module of a tower, by its name there, is a part of a block other than a router. */
export function isInBlock(name: string): boolean {
  return inBlock.test(name);
}

/** A part of a tower that has a form of its own for inference. */
export interface Packable {
  /** Takes that form in place, to compute in `dtype` on the CPU. */
  pack(dtype: FloatDType): void;
}

function isPackable(module: Module): module is Module & Packable {
  return 'pack' in module;
}

/**
 * Brings both towers into their form for inference on the CPU, in place: batch norms and layer scales of
 * convolutional towers merged into the weights, and bias, activation and shortcut in one operator with
 * the product before them; the weights of blocks' linear layers in the order in which the processor
 * reads them fastest. Layers in int8 stay as they are. The model is then neither for training nor for
 * saving.
 */
export function packModel({ visual, text, logitScale }: Clip, dtype: FloatDType): void {
  if (logitScale.device !== 'cpu') return;
  // There Bantam's own products read weights as they are.
  const packsLinears = !(dtype === 'bfloat16' && hasAmx());
  for (const tower of [visual, text]) {
    for (const [name, module] of tower.namedModules()) {
      if (isPackable(module)) module.pack(dtype);
      else if (packsLinears && isInBlock(name) && isLinear(module)) packLinears([module], dtype);
    }
  }
}

function isLinear(module: Module): module is Linear | MultiheadAttention {
  return module instanceof Linear || module instanceof MultiheadAttention;
}

/** Routers of experts compute in float32 under autocast as well. */
const isRouter = /(?:^|\.)router$/;

/**
 * Keeps the weights of a model's products in the type that it computes in, for inference: the same
 * features under autocast to it, without converting the weights for every batch. In float32 they are
 * already. See {@link narrowWeights}.
 */
export function narrowModel(model: Clip, dtype: FloatDType): void {
  if (dtype === 'float32') return;
  narrowWeights(model, dtype, (name) => !isRouter.test(name));
}

/**
 * Puts the linear layers of both towers' blocks, those of attentions and MLPs, into int8 in place,
 * for inference: see {@link quantizeLinears}. Embeddings, convolutions, pooling, the projections to
 * the features and a decoder stay as they are.
 *
 * @returns Names of the layers.
 */
export function quantizeModel({ visual, text }: Pick<Clip, 'visual' | 'text'>): string[] {
  return Object.entries({ visual, text }).flatMap(([tower, module]) =>
    quantizeLinears(module, isInBlock).map((name) => `${tower}.${name}`),
  );
}

/**
 * The model in its form for evaluation: the branches and batch norms of towers whose configuration
 * has `fused` are merged into single convolutions, and everything else is copied. It computes the
 * same as the given model in evaluation, up to rounding, with fewer operations; its configuration
 * has `fused: true`. The given model stays as it is.
 */
export function fuseModel(model: Clip): Clip {
  const { vision, text } = model.config;
  const config = withChanges(model.config, {
    vision: 'fused' in vision ? { type: vision.type, fused: true } : {},
    text: 'fused' in text ? { type: text.type, fused: true } : {},
  });
  const fused = createModel(config, { generator: null });
  scope(() => {
    fused.loadStateDict(model.fusedStateDict());
  });
  return fused.eval();
}

/** Whether a tower has branches to merge: of a kind that has them, and not fused already. */
export function hasBranches({ vision, text }: ModelConfig): boolean {
  return [vision, text].some((tower) => 'fused' in tower && !tower.fused);
}
