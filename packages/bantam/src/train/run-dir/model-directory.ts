import { onDevice } from '@bantam/torch';
import {
  createModel,
  loadModel,
  saveModel,
  type Clip,
  type LoadedModel,
} from '../../models/index.js';
import type { TrainingContext } from '../loop/context.js';
import type { Trainer } from '../loop/trainer.js';
import { runPaths } from './paths.js';

/**
 * A copy of the trained model in evaluation mode: the moving average of the weights if there is one.
 * The caller disposes it.
 */
export function trainedModel(
  { config, tokenizer }: Pick<TrainingContext, 'config' | 'tokenizer'>,
  { model: trained, ema, step, spent }: Trainer,
): LoadedModel {
  const { device } = trained.logitScale;
  const model: Clip = onDevice(device, () => createModel(config.model, { generator: null }));
  model.loadStateDict(ema?.state() ?? trained.stateDict());
  return {
    config: config.model,
    model: model.eval(),
    tokenizer,
    preprocess: config.preprocess,
    info: {
      strategy: config.strategy.type,
      data: config.data,
      seed: config.seed,
      steps: step,
      samplesSeen: spent.samples,
      trainingSeconds: spent.seconds,
    },
  };
}

/**
 * Saves the model directory of a finished run: that of its best validation, else the trained model.
 * Returns its path.
 */
export async function saveTrained(
  run: string,
  context: TrainingContext,
  { trainer, best }: { readonly trainer: Trainer; readonly best: boolean },
): Promise<string> {
  const paths = runPaths(run);
  const loaded = best ? await loadModel(paths.best) : trainedModel(context, trainer);
  using model = loaded.model;
  await saveModel(paths.model, { ...loaded, model, tokenizer: context.tokenizer });
  return paths.model;
}
