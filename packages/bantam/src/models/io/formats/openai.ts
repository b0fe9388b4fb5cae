import { join } from 'node:path';
import { at, isFloating, saveSafetensors, scope, tensor, to, type Tensor } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { parseModelConfig, type ModelConfig } from '../../config.js';
import { channelStatistics, preprocessFor, type Preprocess } from '../../preprocess.js';
import { tokenizerFiles } from '../tokenizer-files.js';
import { isWeightsName, openWeights, type WeightsFile } from '../tensor-files.js';
import { findWeights } from '../weights.js';
import { configDifference, unchanged, type ModelFiles, type ModelFormat } from './format.js';

/** Width of an attention head, in all of OpenAI's models. */
const HEAD = 64;

/**
 * The configuration of one of OpenAI's models by the shapes of its weights, the only information in its
 * files (Radford et al. 2021): QuickGELU, heads of 64, a causal text tower.
 *
 * @throws BantamError if weights are missing.
 */
export function fromOpenAiWeights(shapes: Shapes): ModelConfig {
  const dim = (name: string, dimension: number): number => {
    const size = shapes.get(name)?.[dimension];
    if (size === undefined)
      throw new BantamError(`The weights lack ${name}; they are no model of OpenAI's.`);
    return size;
  };
  /** Number of different matches of the pattern's group. */
  const countOf = (pattern: RegExp): number =>
    new Set([...shapes.keys()].flatMap((name) => pattern.exec(name)?.slice(1, 2) ?? [])).size;
  const width = dim('ln_final.weight', 0);
  return parseModelConfig({
    embedDim: dim('text_projection', 1),
    quickGelu: true,
    vision: shapes.has('visual.proj') ? vit(dim, countOf) : resNet(dim, countOf),
    text: {
      contextLength: dim('positional_embedding', 0),
      vocabSize: dim('token_embedding.weight', 0),
      width,
      heads: Math.max(1, Math.floor(width / HEAD)),
      layers: countOf(/^transformer\.resblocks\.(\d+)\./),
    },
  });
}

type Shapes = ReadonlyMap<string, readonly number[]>;
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
export function requireOpenAi(config: ModelConfig, shapes: Shapes): void {
  const { vision } = config;
  if (vision.type !== 'vit' && vision.type !== 'modified-resnet') {
    throw new BantamError(
      `OpenAI's format has no image tower of the kind "${vision.type}"; save the model in OpenCLIP's format.`,
    );
  }
  const member = configDifference(config, fromOpenAiWeights(shapes));
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
 * True for weights of one of OpenAI's own files, which describe themselves: archives of TorchScript, or
 * with its notes. Equal names alone do not tell: OpenCLIP's weights have them too, with other activations.
 */
export function isOpenAi({ shapes, scripted }: Pick<WeightsFile, 'shapes' | 'scripted'>): boolean {
  const image = ['visual.proj', 'visual.attnpool.positional_embedding'];
  const named = shapes.has('text_projection') && image.some((name) => shapes.has(name));
  return named && (scripted || notes.every((name) => shapes.has(name)));
}

/** The weights without OpenAI's notes. */
export function withoutNotes<T>(weights: ReadonlyMap<string, T>): Map<string, T> {
  return new Map([...weights].filter(([name]) => !notes.includes(name)));
}

/**
 * OpenAI's state dicts (those of its `.pt` files, or the same as safetensors): no configuration, and float16 but
 * for norms, embeddings and scale.
 */
export const openAiFormat: ModelFormat = {
  name: 'openai',
  owner: "OpenAI's",
  owns: (file) => own.includes(file),
  recognises(directory, files) {
    const weights = files.filter(isWeightsName);
    const [only, another] = weights;
    const alone = only !== undefined && another === undefined;
    return Promise.resolve(alone && holdsOpenAi(join(directory, only)));
  },
  async load(directory, given) {
    const { files, name } =
      given === undefined
        ? await findWeights(directory, [WEIGHTS])
        : { files: [given], name: given };
    return openAiFiles(openWeights(files, name), name);
  },
  async save(directory, { config, model, tokenizer, preprocess }) {
    requireOpenAiPreprocess(preprocess);
    await tokenizer?.save(directory);
    scope(() => {
      const state = new Map(
        [...model.stateDict()].map(([name, value]) => [name.replace(/^text\./, ''), value]),
      );
      requireOpenAi(config, new Map([...state].map(([name, { shape }]) => [name, shape])));
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

/** The contents of a file for which {@link isOpenAi} is true. */
export function openAiFiles(weights: WeightsFile, name: string): ModelFiles {
  const config = fromOpenAiWeights(weights.shapes);
  return {
    config,
    preprocess: preprocessFor(config.vision.imageSize),
    weightsName: name,
    readWeights: (edit = unchanged) => withoutNotes(edit(weights.read())),
    info: {},
  };
}

function holdsOpenAi(file: string): boolean {
  try {
    return isOpenAi(openWeights([file]));
  } catch (error) {
    if (!(error instanceof BantamError)) throw error;
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
