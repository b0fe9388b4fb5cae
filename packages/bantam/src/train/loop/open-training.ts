/** Opening of everything that a training works with: a new one, or one that resumes. */
import { onDevice, type Device } from '@bantam/torch';
import { weightType } from '../../base/precision.js';
import { frozenCopy } from '../../base/readonly.js';
import {
  heldOutKeys,
  openSource,
  samplesPerEpoch,
  splitByKeys,
  type HeldOutSplit,
  type Source,
} from '../../data/index.js';
import type { OpenValidator } from '../../eval/index.js';
import { loadTokenizer } from '../../text/index.js';
import type { RunOptions, TrainConfig } from '../config/config.js';
import { chooseModel, distinctImages } from '../config/choose-model.js';
import { fineTuneNote, isTrained } from '../config/fine-tune.js';
import { heldOutData, heldOutMetric, planHoldOut } from '../config/hold-out.js';
import { fitToData, resolveConfig } from '../config/resolve.js';
import { longestCaption, prepareTokenizer } from '../config/tokenizer.js';
import type { TrainEvent } from '../monitor/events.js';
import { heldOutNotice } from '../monitor/overfitting.js';
import { validatorOf } from '../monitor/validation.js';
import { listCheckpoints } from '../run-dir/checkpoint.js';
import { readHeldOut } from '../run-dir/held-out.js';
import { readRunConfig, runPaths } from '../run-dir/paths.js';
import { createStrategy } from '../strategies/index.js';
import { loadStrategyModels, type StrategyModels } from '../teachers/load.js';
import type { World } from '../world/world.js';
import type { TrainingContext } from './context.js';
import { checkInitialWeights, loadInitialModels } from './initial-weights.js';
import { checkTrainableWeights } from './trainable-weights.js';
import { trainingDevice } from './training-device.js';

/** Control of a running training. */
export interface TrainControl {
  /**
   * Where it computes: `cpu`, `cuda`, `cuda:1`, `mps`. Default `auto`: a GPU if there is one. A run may
   * resume on another device.
   */
  readonly device?: string;
  /** Stops training after the current step, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Receives the events of the training. */
  readonly onEvent?: (event: TrainEvent) => void;
  /** The processes that train together, each of which calls this. Default: this one alone. */
  readonly world?: World | null;
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
    const device = trainingDevice(control);
    const { model = '', image = '' } = options.init ?? {};
    const initial = owned.add(await loadInitialModels({ model, image }));
    const opened = needsModel(options) ? await openSource(options.data) : null;
    const chosen = opened === null ? {} : { model: announceChoice(opened, control) };
    const resolved = resolveConfig({ ...options, ...chosen }, initial.model);
    const given = await validatorOf(resolved, control.openValidator);
    const strategyModels = owned.add(await strategyModelsOf(resolved, device));
    const whole = opened ?? (await openSource(resolved.data));
    const { config: wanted, heldOut } = await holdOut(resolved, whole, control);
    const source = heldOut?.kept ?? whole;
    const validator = given ?? (await validatorOf(wanted, control.openValidator, heldOut));
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
    const parts = { config, source, heldOut, tokenizer, validator, initial, checkpoint: null };
    const context = complete(owned, { ...parts, device, strategyModels, control });
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
 * Holds a part of the data out if that is planned; the configuration then says so, with the fraction and
 * the metric.
 *
 * @throws BantamError if too little can be held out.
 */
async function holdOut(
  config: TrainConfig,
  source: Source,
  { onEvent }: TrainControl,
): Promise<{ readonly config: TrainConfig; readonly heldOut: HeldOutSplit | null }> {
  const plan = planHoldOut(config, source);
  if (plan === null) return { config, heldOut: null };
  const { validation } = config;
  const keys = await heldOutKeys(source, plan);
  const isPart = keys.length > 0 && keys.length < source.size;
  if (!isPart && validation.data !== heldOutData) return { config, heldOut: null };
  const heldOut = splitByKeys(source, keys);
  const metric = heldOutMetric(validation, source);
  const settled = { ...validation, data: heldOutData, holdOut: plan.fraction, metric };
  onEvent?.({ kind: 'note', message: heldOutNotice(heldOut, plan, settled) });
  return { config: frozenCopy({ ...config, validation: settled }), heldOut };
}

/**
 * Opens the training of a run directory, at its last checkpoint or its start.
 *
 * @throws BantamError if there is no run, or something that it works with is missing or has changed.
 */
export function reopenTraining(run: string, control: TrainControl = {}): Promise<TrainingContext> {
  return owning(async (owned) => {
    const device = trainingDevice(control);
    const config = readRunConfig(run);
    const whole = await openSource(config.data);
    const isSplit = config.validation.data === heldOutData;
    const heldOut = isSplit ? await readHeldOut(run, whole) : null;
    const source = heldOut?.kept ?? whole;
    const { contextLength } = config.tokenizer;
    const tokenizer = await loadTokenizer(runPaths(run).tokenizer, { contextLength });
    const validator = await validatorOf(config, control.openValidator, heldOut);
    const checkpoint = listCheckpoints(run).at(-1) ?? null;
    const initial = checkpoint === null ? owned.add(await loadInitialModels(config.init)) : null;
    const strategyModels = owned.add(await strategyModelsOf(config, device));
    const opened = { config, source, heldOut, tokenizer, validator, initial, checkpoint };
    return complete(owned, { ...opened, device, strategyModels, control });
  });
}

/** The models and stored embeddings that the strategy works with, in the type of the weights. */
function strategyModelsOf(
  { strategy, train }: TrainConfig,
  device: Device,
): Promise<StrategyModels> {
  return loadStrategyModels(strategy, { device, dtype: weightType(train.precision) });
}

type Opened = Pick<
  TrainingContext,
  'config' | 'source' | 'heldOut' | 'tokenizer' | 'validator' | 'initial' | 'checkpoint' | 'device'
> & {
  readonly strategyModels: StrategyModels;
  readonly control: TrainControl;
};

/** Adds what follows from the configuration and the opened parts: the strategy, created once. */
function complete(
  owned: Owned,
  {
    strategyModels: { models, reinforced },
    control: { signal, onEvent, world = null },
    ...opened
  }: Opened,
): Omit<TrainingContext, keyof Disposable> {
  const { config, source, tokenizer, device } = opened;
  reinforced?.check(source, config.augment);
  const strategy = onDevice(device, () =>
    createStrategy(config, { samples: source.size, models, reinforced }),
  );
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
    world,
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
