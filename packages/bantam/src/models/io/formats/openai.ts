import { join } from 'node:path';
import {
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
import { channelStatistics, preprocessFor, type Preprocess } from '../../preprocess.js';
import { tokenizerFiles } from '../tokenizer-files.js';
import { readTensors } from '../weights.js';
import type { ModelFormat } from './format.js';
import { findWeights } from '../weight-files.js';
import { fromOpenAiWeights, requireOpenAi } from './openai-config.js';

const WEIGHTS = 'model.safetensors';
const own = [WEIGHTS, ...tokenizerFiles];

/** Numbers that OpenAI's files hold beside the weights. */
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
          tensor(numbers[i] ?? 0, { dtype: 'int64' }),
        ]),
      ]);
      saveSafetensors(join(directory, WEIGHTS), weights, { metadata: { format: 'pt' } });
    });
  },
};

/** Whether the header has the names of OpenAI's models, image tower included. */
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

/** @throws BantamError unless pictures are prepared as for OpenAI's models. */
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
