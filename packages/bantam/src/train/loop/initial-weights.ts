import { onDevice } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import {
  copyWeights,
  createModel,
  loadModel,
  type Clip,
  type LoadedModel,
} from '../../models/index.js';
import type { TrainConfig } from '../config/config.js';
import type { InitSettings } from '../config/settings.js';

/** Trained models whose weights a run starts from. */
export interface InitialModels extends Disposable {
  readonly model: LoadedModel | null;
  readonly image: LoadedModel | null;
}

/** Reads the model directories that the settings name. */
export async function loadInitialModels({
  model,
  image,
}: Pick<InitSettings, 'model' | 'image'>): Promise<InitialModels> {
  const loaded = {
    model: model === '' ? null : await loadModel(model),
    image: image === '' ? null : await loadModel(image),
  };
  return {
    ...loaded,
    [Symbol.dispose]() {
      loaded.model?.model.dispose();
      loaded.image?.model.dispose();
    },
  };
}

/**
 * Copies their weights into a new model.
 *
 * @throws BantamError if they do not fit it.
 */
export function copyInitialWeights(
  { model, image }: InitialModels,
  into: Clip,
  settings: Pick<InitSettings, 'model' | 'image'>,
): void {
  const copy = (from: LoadedModel | null, directory: string, tower?: 'visual'): void => {
    if (from === null) return;
    try {
      copyWeights(from.model, into, tower === undefined ? {} : { tower });
    } catch (error) {
      if (!(error instanceof BantamError)) throw error;
      throw new BantamError(`The weights in ${directory} cannot start this run. ${error.message}`);
    }
  };
  copy(model, settings.model);
  copy(image, settings.image, 'visual');
}

/**
 * Checks on the meta device what {@link copyInitialWeights} will do.
 *
 * @throws BantamError if the weights do not fit the model of the configuration.
 */
export function checkInitialWeights(
  initial: InitialModels,
  { model, init, fineTune }: Pick<TrainConfig, 'model' | 'init' | 'fineTune'>,
): void {
  if (initial.model === null && initial.image === null) return;
  const isNew = model.initLogitBias !== null && initial.model?.model.logitBias === null;
  if (fineTune.type === 'lora' && isNew) {
    throw new BantamError(
      `The sigmoid loss gives the model a bias of the logits, which ${init.model} has not and LoRA would not train; choose the loss "softmax", or fineTune.type "full".`,
    );
  }
  using into = onDevice('meta', () => createModel(model, { generator: null }));
  copyInitialWeights(initial, into, init);
}
