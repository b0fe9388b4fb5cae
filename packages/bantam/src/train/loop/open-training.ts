/** Opening of everything that a training works with: a new one, or one that resumes. */
import { openSource, samplesPerEpoch, type Source } from '../../data/index.js';
import type { OpenValidator } from '../../eval/index.js';
import { loadTokenizer } from '../../text/index.js';
import type { RunOptions } from '../config/config.js';
import { chooseModel, distinctImages } from '../config/choose-model.js';
import { fineTuneNote, isTrained } from '../config/fine-tune.js';
import { fitToData, resolveConfig } from '../config/resolve.js';
import { longestCaption, prepareTokenizer } from '../config/tokenizer.js';
import type { TrainEvent } from '../monitor/events.js';
import { validatorOf } from '../monitor/validation.js';
import { listCheckpoints } from '../run-dir/checkpoint.js';
import { readRunConfig, runPaths } from '../run-dir/paths.js';
import { createStrategy } from '../strategies/index.js';
import { loadStrategyModels } from '../teachers/load.js';
import type { TrainingContext } from './context.js';
import { checkInitialWeights, loadInitialModels } from './initial-weights.js';
import { checkTrainableWeights } from './trainable-weights.js';

/** Control of a running training. */
export interface TrainControl {
  /** Stops training after the current step, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Receives the events of the training. */
  readonly onEvent?: (event: TrainEvent) => void;
  /** Opens the validator of `validation`. Default: evaluation's. */
  readonly openValidator?: OpenValidator;
}

/**
 * Opens a new training: its configuration is resolved completely, nothing is written.
 *
 * @throws UsageError for a wrong option; BantamError if data, models and settings do not fit together.
 */
export function openTraining(
  options: RunOptions,
  control: TrainControl = {},
): Promise<TrainingContext> {
  return owning(async (owned) => {
    const { model = '', image = '' } = options.init ?? {};
    const initial = owned.add(await loadInitialModels({ model, image }));
    const opened = needsModel(options) ? await openSource(options.data) : null;
    const chosen = opened === null ? {} : { model: announceChoice(opened, control) };
    const wanted = resolveConfig({ ...options, ...chosen }, initial.model);
    const validator = await validatorOf(wanted, control.openValidator);
    const strategyModels = owned.add(await loadStrategyModels(wanted.strategy));
    const source = opened ?? (await openSource(wanted.data));
    const tokenizer = await prepareTokenizer(wanted, source, initial.model?.tokenizer);
    const reinforcedAugment = strategyModels.reinforced?.augment ?? null;
    const config = fitToData(wanted, { source, tokenizer, reinforcedAugment });
    checkInitialWeights(initial, config);
    const note = isTrained(initial.model?.info ?? null) ? fineTuneNote(options, config) : undefined;
    if (note !== undefined) control.onEvent?.({ kind: 'note', message: note });
    const { batchSize } = config.train;
    if (batchSize !== wanted.train.batchSize) {
      const message = `The batch is ${batchSize} of the ${samplesPerEpoch(source)} samples of ${source.spec} instead of ${wanted.train.batchSize}.`;
      control.onEvent?.({ kind: 'note', message });
    }
    const parts = { config, source, tokenizer, validator, initial, checkpoint: null };
    const context = complete(owned, { ...parts, strategyModels, control });
    checkTrainableWeights(context);
    return context;
  });
}

/** A run that names neither a model nor a model directory to start from. */
function needsModel({ model, init }: RunOptions): boolean {
  return model === undefined && (init?.model ?? '') === '' && (init?.image ?? '') === '';
}

/** The preset for the number of distinct images, which a note names with the reason. */
function announceChoice(source: Source, { onEvent }: TrainControl): string {
  const { model, reason } = chooseModel(distinctImages(source));
  onEvent?.({ kind: 'note', message: reason });
  return model;
}

/**
 * Opens the training of a run directory, at its last checkpoint or its start.
 *
 * @throws BantamError if there is no run, or something that it works with is missing or has changed.
 */
export function reopenTraining(run: string, control: TrainControl = {}): Promise<TrainingContext> {
  return owning(async (owned) => {
    const config = readRunConfig(run);
    const source = await openSource(config.data);
    const { contextLength } = config.tokenizer;
    const tokenizer = await loadTokenizer(runPaths(run).tokenizer, { contextLength });
    const validator = await validatorOf(config, control.openValidator);
    const checkpoint = listCheckpoints(run).at(-1) ?? null;
    const initial = checkpoint === null ? owned.add(await loadInitialModels(config.init)) : null;
    const strategyModels = owned.add(await loadStrategyModels(config.strategy));
    const opened = { config, source, tokenizer, validator, initial, checkpoint };
    return complete(owned, { ...opened, strategyModels, control });
  });
}

type Opened = Pick<
  TrainingContext,
  'config' | 'source' | 'tokenizer' | 'validator' | 'initial' | 'checkpoint'
> & {
  readonly strategyModels: Awaited<ReturnType<typeof loadStrategyModels>>;
  readonly control: TrainControl;
};

/** Adds what follows from the configuration and the opened parts: the strategy, created once. */
function complete(
  owned: Owned,
  { strategyModels: { models, reinforced }, control: { signal, onEvent }, ...opened }: Opened,
): Omit<TrainingContext, keyof Disposable> {
  const { config, source, tokenizer } = opened;
  reinforced?.check(source, config.augment);
  const strategy = createStrategy(config, { samples: source.size, models, reinforced });
  owned.add({
    [Symbol.dispose]() {
      strategy.module?.dispose();
      strategy[Symbol.dispose]?.();
    },
  });
  return {
    ...opened,
    models,
    reinforced,
    strategy,
    longest: longestCaption(source, tokenizer),
    signal,
    emit: (event) => onEvent?.(event),
  };
}

/** Resources that a context frees, the last first. */
class Owned implements Disposable {
  readonly #resources: Disposable[] = [];

  add<T extends Disposable>(resource: T): T {
    this.#resources.push(resource);
    return resource;
  }

  [Symbol.dispose](): void {
    for (const resource of this.#resources.splice(0).reverse()) resource[Symbol.dispose]();
  }
}

/** The opened parts, which own what was added; if opening fails, that is freed. */
async function owning(
  open: (owned: Owned) => Promise<Omit<TrainingContext, keyof Disposable>>,
): Promise<TrainingContext> {
  const owned = new Owned();
  const dispose = (): void => {
    owned[Symbol.dispose]();
  };
  try {
    return { ...(await open(owned)), [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}
