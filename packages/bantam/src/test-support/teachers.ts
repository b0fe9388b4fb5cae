import { Generator, type FloatDType } from '@bantam/torch';
import {
  createModel,
  parseModelConfig,
  preprocessFor,
  type LoadedModel,
  type ModelConfig,
  type Preprocess,
} from '../models/index.js';
import { trainTokenizer, type Tokenizer } from '../text/index.js';

/** Options of {@link createTeacherModel}. */
export interface TeacherModelOptions {
  seed: number;
  embedDim?: number;
  imageSize?: number;
  dtype?: FloatDType;
  preprocess?: Partial<Preprocess>;
}

/** A tokenizer whose ids fit {@link smallConfig}. */
export const smallTokenizer: Tokenizer = trainTokenizer(['a', 'b', 'c', 'd', 'e', 'g', 'h'], {
  vocabSize: 600,
  contextLength: 8,
});

/** A small model with {@link smallTokenizer}'s vocabulary. */
export function smallConfig(embedDim = 12, imageSize = 16): ModelConfig {
  const { vocabSize, contextLength } = smallTokenizer;
  return parseModelConfig({
    embedDim,
    vision: { imageSize, patchSize: 4, width: 16, headWidth: 8, layers: 1 },
    text: { width: 16, heads: 2, layers: 1, vocabSize, contextLength },
  });
}

/** A small model with fresh weights, as if it came from a directory. */
export function createTeacherModel({
  seed,
  embedDim = 12,
  imageSize = 16,
  dtype = 'float64',
  preprocess = {},
}: TeacherModelOptions): LoadedModel {
  const config = smallConfig(embedDim, imageSize);
  const model = createModel(config, { generator: new Generator({ seed }) });
  return {
    config,
    model: model.to(dtype).eval(),
    tokenizer: smallTokenizer,
    preprocess: preprocessFor(imageSize, preprocess),
    info: {},
  };
}
