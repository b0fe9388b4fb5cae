import { RandomStreams } from '@bantam/torch';
import { createModel, preprocessOf, saveModel } from '../models/index.js';
import { trainTokenizer } from '../text/index.js';
import { withChanges } from '../models/index.js';
import { tiny } from './tiny-runs.js';

/** Most tokens of a text of {@link saveTinyModel}. */
export const tinyContext = 16;

/** Writes a model directory with random weights that a seed decides. */
export async function saveTinyModel(directory: string, seed = 7): Promise<void> {
  const tokenizer = trainTokenizer(['a red square', 'a blue square', 'a green circle'], {
    vocabSize: 600,
    contextLength: tinyContext,
  });
  const config = withChanges(tiny, {
    text: { vocabSize: tokenizer.vocabSize, contextLength: tinyContext, padId: tokenizer.padId },
  });
  const generator = new RandomStreams({ seed }).get('init');
  using model = createModel(config, { generator });
  const preprocess = preprocessOf(config);
  await saveModel(directory, { config, model, preprocess, tokenizer });
}
