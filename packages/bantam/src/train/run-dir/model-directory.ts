import { cp, readdir } from 'node:fs/promises';
import { noGrad, onDevice, scope } from '@bantam/torch';
import {
  createModel,
  mergedWeights,
  saveAdapter,
  saveModel,
  writeFolder,
  type Clip,
  type LoadedModel,
} from '../../models/index.js';
import type { TrainingContext } from '../loop/context.js';
import type { Trainer } from '../loop/trainer.js';
import { runPaths } from './paths.js';

/**
 * A copy of the trained model in evaluation mode: the moving average of the weights if there is one, with
 * low-rank changes merged in. The caller disposes it.
 */
export function trainedModel(
  { config, tokenizer }: Pick<TrainingContext, 'config' | 'tokenizer'>,
  { model: trained, ema, step, spent }: Trainer,
): LoadedModel {
  const { device } = trained.logitScale;
  const model: Clip = onDevice(device, () => createModel(config.model, { generator: null }));
  noGrad(() => {
    scope(() => {
      model.loadStateDict(mergedWeights(trained, ema?.state()));
    });
  });
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
 * Saves a {@link trainedModel} as a model directory, or as an adapter directory if the settings ask for
 * one.
 */
export async function saveRunModel(
  directory: string,
  { config }: Pick<TrainingContext, 'config'>,
  { trainer, trained }: { readonly trainer: Trainer; readonly trained: LoadedModel },
): Promise<void> {
  const { fineTune, init } = config;
  if (fineTune.type !== 'lora' || fineTune.save === 'merged') {
    await saveModel(directory, trained);
    return;
  }
  const { model, ema } = trainer;
  const changed = { ...trained, tokenizer: trained.tokenizer, model, settings: fineTune };
  const state = ema === null ? {} : { state: ema.state() };
  await saveAdapter(directory, { ...changed, ...state, base: init.model });
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
  if (best) {
    const files = await readdir(paths.best);
    await writeFolder(
      paths.model,
      (file) => files.includes(file),
      (draft) => cp(paths.best, draft, { recursive: true }),
    );
    return paths.model;
  }
  const trained = trainedModel(context, trainer);
  using model = trained.model;
  await saveRunModel(paths.model, context, { trainer, trained: { ...trained, model } });
  return paths.model;
}
