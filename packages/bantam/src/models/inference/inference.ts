/** Forms of a model for inference: in fewer bits, with merged branches, with prepacked weights. */
import {
  hasAmx,
  Linear,
  MultiheadAttention,
  narrowWeights,
  packLinears,
  quantizeLinears,
  scope,
  type FloatDType,
  type Module,
} from '@bantam/torch';
import { isPrepackable } from '../blocks/prepackable.js';
import { createModel, type Clip } from '../clip.js';
import { withChanges, type ModelConfig } from '../config.js';

/** Layers within blocks of any tower, but for routers, which compute in float32. */
const inBlock = /(?:^|\.)(?:res)?blocks\.\d+\.(?!.*router$)/;

/** Routers of experts compute in float32 under autocast as well. */
const isRouter = /(?:^|\.)router$/;

/**
 * Optimises both towers for inference on the CPU, in place: batch norms and layer scales of
 * convolutional towers are merged into the weights; bias, activation and residual become one
 * operator with the product before them; weights of the blocks' linear layers are reordered
 * (prepacked) for the CPU's fastest kernel. int8 layers stay unchanged. Afterwards the model can be
 * neither trained nor saved. No effect on other devices.
 */
export function prepackModel({ visual, text, logitScale }: Clip, dtype: FloatDType): void {
  if (logitScale.device !== 'cpu') return;
  // Bantam's own AMX kernels read weights in their usual order.
  const reorders = !(dtype === 'bfloat16' && hasAmx());
  for (const tower of [visual, text]) {
    for (const [name, module] of tower.namedModules()) {
      if (isPrepackable(module)) module.prepack(dtype);
      else if (reorders && inBlock.test(name) && isLinear(module)) packLinears([module], dtype);
    }
  }
}

function isLinear(module: Module): module is Linear | MultiheadAttention {
  return module instanceof Linear || module instanceof MultiheadAttention;
}

/**
 * Stores the weights of a model's matrix products in the type that inference computes in: equal
 * features under autocast to that type, without converting weights in every batch. No effect for
 * float32. See {@link narrowWeights}.
 */
export function narrowModel(model: Clip, dtype: FloatDType): void {
  if (dtype === 'float32') return;
  narrowWeights(model, dtype, (name) => !isRouter.test(name));
}

/**
 * Quantizes the linear layers of both towers' blocks (attentions and MLPs) to int8 in place, for
 * inference; see {@link quantizeLinears}. Embeddings, convolutions, pooling, output projections and
 * a decoder stay unchanged.
 *
 * @returns Names of the layers.
 */
export function quantizeModel({ visual, text }: Pick<Clip, 'visual' | 'text'>): string[] {
  return Object.entries({ visual, text }).flatMap(([tower, module]) =>
    quantizeLinears(module, (name) => inBlock.test(name)).map((name) => `${tower}.${name}`),
  );
}

/**
 * A copy of a model for evaluation in which the branches and batch norms of towers that have
 * `fused` are merged into single convolutions. Outputs are equal up to rounding, with fewer FLOPs;
 * the configuration has `fused: true`. The given model stays unchanged.
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

/** True if a tower has branches that {@link fuseModel} would merge. */
export function hasBranches({ vision, text }: ModelConfig): boolean {
  return [vision, text].some((tower) => 'fused' in tower && !tower.fused);
}
