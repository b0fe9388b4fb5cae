import type { Tensor } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { configDifference } from './config-difference.js';
import { parseModelConfig, type ModelConfig } from '../../config.js';

/** Width of an attention head, in all of OpenAI's models. */
const HEAD = 64;

/**
 * The configuration of one of OpenAI's models by the shapes of its weights, which is all that its
 * files tell (Radford et al. 2021): QuickGELU, heads of 64, a causal text tower.
 *
 * @throws BantamError where weights are missing.
 */
export function fromOpenAiWeights(weights: ReadonlyMap<string, Tensor>): ModelConfig {
  const dim = (name: string, place: number): number => {
    const size = weights.get(name)?.shape[place];
    if (size === undefined)
      throw new BantamError(`The weights lack ${name}; they are no model of OpenAI's.`);
    return size;
  };
  /** How many numbers stand where the pattern has its group. */
  const countOf = (pattern: RegExp): number =>
    new Set([...weights.keys()].flatMap((name) => pattern.exec(name)?.[1] ?? [])).size;
  const width = dim('ln_final.weight', 0);
  return parseModelConfig({
    embedDim: dim('text_projection', 1),
    quickGelu: true,
    vision: weights.has('visual.proj') ? vit(dim, countOf) : resNet(dim, countOf),
    text: {
      contextLength: dim('positional_embedding', 0),
      vocabSize: dim('token_embedding.weight', 0),
      width,
      heads: Math.max(1, Math.floor(width / HEAD)),
      layers: countOf(/^transformer\.resblocks\.(\d+)\./),
    },
  });
}

type Dim = (name: string, place: number) => number;
type CountOf = (pattern: RegExp) => number;

function vit(dim: Dim, countOf: CountOf): object {
  const patchSize = dim('visual.conv1.weight', 3);
  return {
    type: 'vit',
    width: dim('visual.conv1.weight', 0),
    layers: countOf(/^visual\.transformer\.resblocks\.(\d+)\./),
    patchSize,
    imageSize: patchSize * Math.round(Math.sqrt(dim('visual.positional_embedding', 0) - 1)),
  };
}

function resNet(dim: Dim, countOf: CountOf): object {
  const places = dim('visual.attnpool.positional_embedding', 0) - 1;
  return {
    type: 'modified-resnet',
    width: dim('visual.layer1.0.conv1.weight', 0),
    depths: [1, 2, 3, 4].map((stage) => countOf(new RegExp(`^visual\\.layer${stage}\\.(\\d+)\\.`))),
    imageSize: 32 * Math.round(Math.sqrt(places)),
  };
}

/**
 * Requires that a configuration is what a reader of its weights takes it for.
 *
 * @throws BantamError naming the first member that is not.
 */
export function requireOpenAi(config: ModelConfig, weights: ReadonlyMap<string, Tensor>): void {
  const { vision } = config;
  if (vision.type !== 'vit' && vision.type !== 'modified-resnet') {
    throw new BantamError(
      `OpenAI's format has no image tower of the kind "${vision.type}"; save the model in OpenCLIP's format.`,
    );
  }
  const member = configDifference(config, fromOpenAiWeights(weights));
  if (member === undefined) return;
  throw new BantamError(
    `OpenAI's format, which tells a model by its weights' shapes alone, has no place for ${member}; save the model in OpenCLIP's format.`,
  );
}
