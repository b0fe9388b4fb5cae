import { join } from 'node:path';
import {
  at,
  isFloating,
  readSafetensorsHeader,
  saveSafetensors,
  scope,
  tensor,
  to,
  TorchError,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { parseModelConfig, type ModelConfig } from '../../config.js';
import { channelStatistics, preprocessFor, type Preprocess } from '../../preprocess.js';
import { tokenizerFiles } from '../tokenizer-files.js';
import { findWeights, readTensors } from '../weights.js';
import { configDifference, type ModelFormat } from './format.js';

/** Width of an attention head, in all of OpenAI's models. */
const HEAD = 64;

/**
 * The configuration of one of OpenAI's models by the shapes of its weights, the only information in its
 * files (Radford et al. 2021): QuickGELU, heads of 64, a causal text tower.
 *
 * @throws BantamError if weights are missing.
 */
export function fromOpenAiWeights(weights: ReadonlyMap<string, Tensor>): ModelConfig {
  const dim = (name: string, dimension: number): number => {
    const size = weights.get(name)?.shape[dimension];
    if (size === undefined)
      throw new BantamError(`The weights lack ${name}; they are no model of OpenAI's.`);
    return size;
  };
  /** Number of different matches of the pattern's group. */
  const countOf = (pattern: RegExp): number =>
    new Set([...weights.keys()].flatMap((name) => pattern.exec(name)?.slice(1, 2) ?? [])).size;
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

type Dim = (name: string, dimension: number) => number;
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
  const locations = dim('visual.attnpool.positional_embedding', 0) - 1;
  return {
    type: 'modified-resnet',
    width: dim('visual.layer1.0.conv1.weight', 0),
    depths: [1, 2, 3, 4].map((stage) => countOf(new RegExp(`^visual\\.layer${stage}\\.(\\d+)\\.`))),
    imageSize: 32 * Math.round(Math.sqrt(locations)),
  };
}

/**
 * Requires that a reader of the weights would infer this configuration.
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

const WEIGHTS = 'model.safetensors';
const own = [WEIGHTS, ...tokenizerFiles];

/** Scalars in OpenAI's files beside the weights. */
const notes = ['input_resolution', 'context_length', 'vocab_size'];

/**
 * OpenAI's state dicts (those of its `.pt` files, as safetensors): no configuration, and float16 but
 * for norms, embeddings and scale.
 */
export const openAiFormat: ModelFormat = {
  name: 'openai',
  owner: "OpenAI's",
  owns: (file) => own.includes(file),
  recognises(directory, files) {
    const [only, another] = files.filter((file) => file.endsWith('.safetensors'));
    const alone = only !== undefined && another === undefined;
    return Promise.resolve(alone && hasOpenAiNames(join(directory, only)));
  },
  async load(directory) {
    const weightsName = join(directory, await findWeights(directory, WEIGHTS));
    const config = scope(() => fromOpenAiWeights(readTensors(weightsName)));
    return {
      config,
      preprocess: preprocessFor(config.vision.imageSize),
      weightsName,
      readWeights: () =>
        new Map([...readTensors(weightsName)].filter(([name]) => !notes.includes(name))),
      info: {},
    };
  },
  async save(directory, { config, model, tokenizer, preprocess }) {
    requireOpenAiPreprocess(preprocess);
    await tokenizer?.save(directory);
    scope(() => {
      const state = new Map(
        [...model.stateDict()].map(([name, value]) => [name.replace(/^text\./, ''), value]),
      );
      requireOpenAi(config, state);
      const { vision, text } = config;
      const numbers = [vision.imageSize, text.contextLength, text.vocabSize];
      const weights = new Map([
        ...[...state].map(([name, value]): [string, Tensor] => [name, stored(name, value)]),
        ...notes.map((name, i): [string, Tensor] => [
          name,
          tensor(at(numbers, i), { dtype: 'int64' }),
        ]),
      ]);
      saveSafetensors(join(directory, WEIGHTS), weights, { metadata: { format: 'pt' } });
    });
  },
};

/** True if the header has the names of OpenAI's models, image tower included. */
function hasOpenAiNames(file: string): boolean {
  try {
    const { entries } = readSafetensorsHeader(file);
    const image = ['visual.proj', 'visual.attnpool.positional_embedding'];
    return entries.has('text_projection') && image.some((name) => entries.has(name));
  } catch (error) {
    if (!(error instanceof TorchError)) throw error;
    return false;
  }
}

/** Layers that OpenAI keeps in float32: norms with their statistics, embeddings, the scale. */
const exact = /(^|\.)(ln_\w+|bn\d|downsample\.1)\.|embedding|^logit_scale$/;

function stored(name: string, value: Tensor): Tensor {
  if (!isFloating(value.dtype)) return value;
  return to(value, { dtype: exact.test(name) ? 'float32' : 'float16' });
}

/** @throws BantamError unless images are prepared as for OpenAI's models. */
function requireOpenAiPreprocess(preprocess: Preprocess): void {
  const wanted = preprocessFor(preprocess.size, channelStatistics.openai);
  const differs = (Object.keys(wanted) as (keyof Preprocess)[]).find(
    (key) => JSON.stringify(preprocess[key]) !== JSON.stringify(wanted[key]),
  );
  if (differs === undefined) return;
  throw new BantamError(
    `OpenAI's format has no place for the preprocessing's "${differs}" ${JSON.stringify(preprocess[differs])}; save the model in OpenCLIP's format.`,
  );
}
