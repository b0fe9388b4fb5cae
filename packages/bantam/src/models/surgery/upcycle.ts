import type { Generator, Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { MixtureOfExperts, type MoeConfig } from '../blocks/mixture-of-experts.js';
import { createModel, type Clip } from '../clip.js';
import { withChanges, type ModelConfig, type ModelConfigInput } from '../config.js';
import { loadModel, saveModel, type LoadModelOptions } from '../io/directory.js';

/** Options of {@link upcycle}. */
export interface UpcycleOptions {
  /** Settings of the image tower's mixtures; null leaves it dense. Default: CLIP-UP's. */
  vision?: Partial<MoeConfig> | null;
  /** Settings of the text tower's mixtures; null leaves it dense. Default: CLIP-UP's. */
  text?: Partial<MoeConfig> | null;
  /** Initialises the routers' weights. */
  generator: Generator;
}

/**
 * Sparse upcycling (CLIP-UP, Wang et al. 2025): a model with mixtures of experts from a trained dense
 * one. Each expert is a copy of the MLP that it replaces, the routers are new, all else is copied, so
 * that the new model computes the same features.
 *
 * @throws BantamError if a tower is no transformer of pre-norm blocks, or has mixtures already.
 */
export function upcycle(model: Clip, { vision = {}, text = {}, generator }: UpcycleOptions): Clip {
  const config = sparseConfig(model.config, { vision, text });
  const sparse = createModel(config, { generator: null });
  const dense = model.stateDict();
  const weights = [...sparse.stateDict()].map(([name, own]): [string, Tensor] => {
    const source = dense.get(name.replace(/\.mlp\.experts\.\d+\./, '.mlp.'));
    return [name, source ?? own];
  });
  sparse.loadStateDict(new Map(weights));
  for (const module of sparse.namedModules().values()) {
    if (module instanceof MixtureOfExperts) module.initRouter(generator);
  }
  return sparse.train(model.training);
}

type TowerMixtures = Required<Omit<UpcycleOptions, 'generator'>>;

function sparseConfig(config: ModelConfig, { vision, text }: TowerMixtures): ModelConfig {
  const changes: ModelConfigInput = {
    ...(vision !== null && { vision: withMixtures(config.vision, vision, 'vision') }),
    ...(text !== null && { text: withMixtures(config.text, text, 'text') }),
  };
  return withChanges(config, changes);
}

function withMixtures<Tower extends { type: string }>(
  tower: Tower,
  moe: Partial<MoeConfig>,
  where: 'vision' | 'text',
): Tower {
  if (!('moe' in tower)) {
    throw new BantamError(
      `A tower of the type "${tower.type}" cannot be upcycled; leave "${where}" dense.`,
    );
  }
  if (tower.moe !== null) {
    throw new BantamError(`"${where}" has mixtures of experts already; upcycle a dense model.`);
  }
  return { ...tower, moe };
}

/** Options of {@link upcycleModel}. */
export interface UpcycleModelOptions extends UpcycleOptions, LoadModelOptions {
  /** The model directory of the dense model. */
  model: string;
  /** The model directory to write. */
  out: string;
}

/**
 * {@link upcycle} from one model directory to another; returns the new model's configuration.
 *
 * @throws BantamError as {@link loadModel}, {@link upcycle} and {@link saveModel} do.
 */
export async function upcycleModel(options: UpcycleModelOptions): Promise<ModelConfig> {
  const { model: directory, out, merges, ...mixtures } = options;
  const loaded = await loadModel(directory, merges === undefined ? {} : { merges });
  const { tokenizer, preprocess, info } = loaded;
  using dense = loaded.model;
  using sparse = upcycle(dense, mixtures);
  const { config } = sparse;
  await saveModel(out, { config, model: sparse, tokenizer, preprocess, info });
  return config;
}
