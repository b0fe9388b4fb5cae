import {
  createModel,
  loadModel,
  saveModel,
  type Clip,
  type LoadedModel,
} from '../../models/index.js';
import type { Tokenizer } from '../../text/index.js';
import type { TrainConfig } from '../config/config.js';
import type { TrainerSetup } from '../loop/create-trainer.js';
import { runPaths } from './paths.js';

/** What a model of a run is made of. */
export interface TrainedParts extends Pick<TrainerSetup, 'trainer' | 'model' | 'ema'> {
  readonly run: string;
  readonly config: TrainConfig;
  readonly tokenizer: Tokenizer;
}

/**
 * The model that training has come to, in evaluation mode, as a copy: the average of the weights
 * where there is one. Whoever asks disposes it.
 */
export function trainedModel({ config, tokenizer, trainer, ...parts }: TrainedParts): LoadedModel {
  const model: Clip = createModel(config.model, { generator: null });
  model.loadStateDict(parts.ema?.state() ?? parts.model.stateDict());
  return {
    config: config.model,
    model: model.eval(),
    tokenizer,
    preprocess: config.preprocess,
    info: {
      strategy: config.strategy.type,
      data: config.data,
      seed: config.seed,
      steps: trainer.step,
      samplesSeen: trainer.spent.samples,
      trainingSeconds: trainer.spent.seconds,
    },
  };
}

/**
 * Saves the model directory of a finished run: that of its best validation, else what training has
 * come to. Returns its path.
 */
export async function saveTrained(
  parts: TrainedParts,
  { best }: { best: boolean },
): Promise<string> {
  const paths = runPaths(parts.run);
  const loaded = best ? await loadModel(paths.best) : trainedModel(parts);
  using model = loaded.model;
  await saveModel(paths.model, { ...loaded, model, tokenizer: parts.tokenizer });
  return paths.model;
}
