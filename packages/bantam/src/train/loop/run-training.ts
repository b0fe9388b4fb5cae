import { Loader, type Source } from '../../data/index.js';
import type { OpenValidator, Validator } from '../../eval/index.js';
import { describeModel, type LoadedModel } from '../../models/index.js';
import type { Tokenizer } from '../../text/index.js';
import {
  listCheckpoints,
  readCheckpoint,
  writeCheckpoint,
  type Checkpoint,
} from '../run-dir/checkpoint.js';
import type { TrainConfig } from '../config/config.js';
import { createTrainer, type TrainerSetup } from './create-trainer.js';
import type { TrainEvent, TrainResult } from '../monitor/events.js';
import { copyInitialWeights, type InitialModels } from './initial-weights.js';
import { MetricsWriter } from '../run-dir/metrics.js';
import { saveTrained } from '../run-dir/model-directory.js';
import { encodedAtOnce, loadSize } from './micro-batch.js';
import { resolvePrecision } from '../../base/precision.js';
import type { ReinforcedSet } from '../teachers/reinforced-set.js';
import { Recovery } from '../monitor/recovery.js';
import { runPaths } from '../run-dir/paths.js';
import { createStrategy } from '../strategies/index.js';
import type { Strategy } from '../strategies/strategy.js';
import { StuckLoss } from '../monitor/collapse-detector.js';
import { checkpointParts, type StepReport } from './trainer.js';
import { validate } from '../monitor/validate.js';
import { ValidationHistory } from '../monitor/validation.js';

/** What `train()` and `resumeTraining()` report to and listen to. */
export interface TrainControl {
  /** Stops training after the current step, with a checkpoint. */
  signal?: AbortSignal;
  onEvent?: (event: TrainEvent) => void;
  /** Makes what measures for `validation.*`. Default: evaluation's. */
  openValidator?: OpenValidator;
}

/** A run with everything that its configuration names. */
export interface Run {
  /** Its directory. */
  readonly run: string;
  readonly config: TrainConfig;
  readonly source: Source;
  readonly tokenizer: Tokenizer;
  readonly validator: Validator | null;
  /** Freed as soon as their weights are copied. */
  readonly initial: InitialModels;
  /** Those that the strategy works with. */
  readonly models: readonly LoadedModel[];
  readonly reinforced: ReinforcedSet | null;
  /** The checkpoint to go on from. */
  readonly checkpoint?: string | undefined;
}

/** What a run works with while it lasts. */
interface Session extends Run, Omit<TrainerSetup, keyof Disposable> {
  readonly strategy: Strategy;
  readonly loader: Loader;
  readonly signal: AbortSignal | undefined;
  readonly emit: (event: TrainEvent) => void;
  readonly note: (message: string) => void;
}

/** Trains until the budget is used or the signal comes, with metrics and checkpoints on the way. */
export async function runTraining(run: Run, control: TrainControl): Promise<TrainResult> {
  const { config, source, tokenizer, initial, models, reinforced } = run;
  const emit = (event: TrainEvent): void => control.onEvent?.(event);
  const note = (message: string): void => {
    emit({ kind: 'note', message });
  };
  source.notes?.forEach(note);
  const strategy = createStrategy(config, { samples: source.size, models, reinforced });
  const loader = new Loader(source, {
    batchSize: loadSize(config.train),
    unitSize: config.train.batchSize,
    views: strategy.views(config.augment),
    size: config.preprocess.size,
    seed: config.seed,
    workers: config.train.workers,
    ...(strategy.replay && { replay: strategy.replay }),
    quarantine: { path: runPaths(run.run).quarantine },
  });
  try {
    using setup = createTrainer(config, {
      strategy,
      tokenizer,
      loader,
      initialize: (model) => {
        copyInitialWeights(initial, model, config.init);
        initial[Symbol.dispose]();
      },
    });
    const session = { ...run, ...setup, strategy, loader, signal: control.signal, emit, note };
    resume(session);
    await prepare(session);
    announce(session);
    const recovery = createRecovery(session);
    const history = createHistory(session);
    const end = await takeSteps(session, recovery, history);
    const best = history?.best ?? null;
    const result: TrainResult = { ...resultOf(session), ...end, skipped: recovery.count };
    if (best !== null) result.validation = best;
    if (!end.interrupted) result.model = await saveTrained(session, { best: best !== null });
    return result;
  } finally {
    await loader.close();
  }
}

/** Goes on from the run's checkpoint, where there is one. */
function resume(session: Session): void {
  const { checkpoint, trainer, note } = session;
  if (checkpoint === undefined) return;
  withCheckpoint(session, checkpoint, (read) => {
    trainer.restore(read);
  });
  note(`Continuing from step ${trainer.step} (${checkpoint}).`);
}

/** Reads a checkpoint for a while. */
function withCheckpoint(
  { ema, strategy }: Session,
  path: string,
  use: (checkpoint: Checkpoint) => void,
): void {
  const checkpoint = readCheckpoint(path, checkpointParts({ ema, strategy }));
  use(checkpoint);
  for (const part of Object.values(checkpoint.tensors)) {
    for (const tensor of part.values()) tensor.dispose();
  }
}

function createRecovery(session: Session): Recovery {
  const { run, config, trainer, note } = session;
  return new Recovery({
    path: runPaths(run).nonFinite,
    resumedAt: trainer.spent.samples,
    maxSkips: config.train.maxSkips,
    onNote: note,
    rollBack: () => {
      const path = listCheckpoints(run).at(-1);
      if (path === undefined) return null;
      withCheckpoint(session, path, ({ tensors }) => {
        trainer.restoreWeights(tensors);
      });
      return path;
    },
  });
}

async function prepare(session: Session): Promise<void> {
  const { config, source, strategy, loader, model, signal, emit } = session;
  await strategy.prepare?.({
    model,
    source,
    preprocess: config.preprocess,
    precision: resolvePrecision(config.train.precision),
    batchSize: encodedAtOnce(config.train),
    quarantine: loader.quarantine,
    exclude: (indices) => {
      loader.exclude(indices);
    },
    signal,
    onProgress: (message) => {
      emit({ kind: 'preparing', message });
    },
  });
}

function announce({ run, config, source, model, groups, emit }: Session): void {
  emit({
    kind: 'start',
    run,
    model: describeModel(config.model),
    parameters: model.parameters().reduce((sum, { size }) => sum + size, 0),
    samples: source.size,
    precision: resolvePrecision(config.train.precision),
    batchSize: config.train.batchSize,
    budget: config.budget,
    groups,
  });
}

function createHistory(session: Session): ValidationHistory | null {
  const { run, config, trainer, validator } = session;
  if (validator === null) return null;
  return new ValidationHistory({
    run,
    resumedAt: trainer.step,
    settings: config.validation,
    lowerIsBetter: validator.lowerIsBetter,
  });
}

/** Drives the trainer to the end of the run or its interruption, and saves a checkpoint there. */
async function takeSteps(
  session: Session,
  recovery: Recovery,
  history: ValidationHistory | null,
): Promise<Pick<TrainResult, 'interrupted' | 'stoppedEarly'>> {
  const { run, config, trainer, validator, signal, emit, note } = session;
  const metrics = new MetricsWriter(run, { resumedAt: trainer.step });
  const hear = stepListener(session, { metrics, recovery });
  let saved = performance.now();
  const save = (): void => {
    saveCheckpoint(session, recovery);
    saved = performance.now();
  };
  const validateIfDue = async (): Promise<void> => {
    if (validator === null || history?.due(trainer.progress) !== true) return;
    // What is resumed later has this validation before or behind it, never other weights.
    save();
    const { metric, value, step } = await validate(session, { validator, history, emit });
    metrics.scalar(`validation/${metric}`, value, step);
  };
  const exhausted = (): boolean => history?.exhausted === true;
  try {
    // One that an interruption left undone.
    await validateIfDue();
    if (!exhausted()) {
      for await (const report of trainer.run()) {
        hear(report);
        if (signal?.aborted === true && trainer.progress < 1) break;
        await validateIfDue();
        if (exhausted()) break;
        if (performance.now() - saved > config.train.checkpointMinutes * 60_000) save();
      }
    }
  } finally {
    metrics.close();
  }
  save();
  const stoppedEarly = exhausted() && trainer.progress < 1;
  if (stoppedEarly && history !== null) note(history.farewell());
  return { stoppedEarly, interrupted: trainer.progress < 1 && !stoppedEarly };
}

/** What is done about each step. */
function stepListener(
  { config, strategy, model, emit, note }: Session,
  { metrics, recovery }: { metrics: MetricsWriter; recovery: Recovery },
): (report: StepReport) => void {
  const stuck = new StuckLoss();
  return (report) => {
    if (report.kind === 'skip') {
      recovery.skip(report);
      return;
    }
    const { row, progress, etaSeconds } = report;
    recovery.take();
    metrics.write(row);
    emit({ kind: 'step', progress, etaSeconds, ...row });
    const collapsed = strategy.collapsed(config.train.batchSize, model);
    const diagnosis = stuck.observe({ ...row, progress, collapsed });
    if (diagnosis !== null) note(diagnosis);
  };
}

/** Saves a checkpoint. It never holds weights that are not finite: those before come back first. */
function saveCheckpoint(session: Session, recovery: Recovery): void {
  const { run, config, trainer, emit } = session;
  if (!trainer.hasFiniteWeights()) recovery.goBack('the weights are not finite', trainer.step);
  const path = writeCheckpoint(run, trainer.checkpoint(), config.train.keepCheckpoints);
  emit({ kind: 'checkpoint', path, step: trainer.step });
}

function resultOf({
  run,
  trainer,
  loader,
}: Session): Omit<TrainResult, 'interrupted' | 'stoppedEarly' | 'skipped'> {
  const { step, spent, loss } = trainer;
  return {
    run,
    steps: step,
    samples: spent.samples,
    seconds: spent.seconds,
    loss,
    quarantined: loader.quarantine.count,
  };
}
