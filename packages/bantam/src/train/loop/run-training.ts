/** A run from its start, or its checkpoint, to its model. */
import { precisionName } from '../../base/precision-name.js';
import { resolvePrecision } from '../../base/precision.js';
import { parseBudget } from '../config/budget.js';
import { heldOutData } from '../config/hold-out.js';
import { describeNote, Loader } from '../../data/index.js';
import { describeModel } from '../../models/index.js';
import { CollapseDetector } from '../monitor/collapse-detector.js';
import { cutCaptions, passesAdvice } from '../monitor/data-advice.js';
import type { TrainResult } from '../monitor/events.js';
import {
  summarizeValidations,
  ValidationPace,
  type ValidationSummary,
} from '../monitor/overfitting.js';
import { Recovery } from '../monitor/recovery.js';
import { validate, ValidationHistory } from '../monitor/validation.js';
import {
  listCheckpoints,
  readCheckpoint,
  writeCheckpoint,
  type Checkpoint,
} from '../run-dir/checkpoint.js';
import { MetricsWriter } from '../run-dir/metrics.js';
import { saveTrained } from '../run-dir/model-directory.js';
import { runPaths } from '../run-dir/paths.js';
import type { TrainingContext } from './context.js';
import { microBatchSize, preparedAtOnce } from './micro-batch.js';
import { checkpointParts, Trainer, type StepReport } from './trainer.js';

/**
 * Trains in a run directory until the budget is used, validations are no better or the signal comes,
 * with metrics and checkpoints on the way; then saves the model.
 */
export async function runTraining(context: TrainingContext, run: string): Promise<TrainResult> {
  const { config, source, strategy, emit } = context;
  source.notes?.forEach((note) => {
    emit({ kind: 'note', message: describeNote(note) });
  });
  // A run that resumes has said so at its start.
  const cut = context.checkpoint === null ? cutCaptions(source, context) : undefined;
  if (cut !== undefined) emit({ kind: 'note', message: cut });
  const loader = new Loader(source, {
    batchSize: microBatchSize(config.train),
    unitSize: config.train.batchSize,
    views: strategy.views(config.augment),
    size: config.preprocess.size,
    seed: config.seed,
    workers: config.train.workers,
    ...(strategy.replay && { replay: strategy.replay }),
    quarantine: { path: runPaths(run).quarantine },
  });
  try {
    using trainer = new Trainer(context, loader);
    return await new TrainingRun(context, { run, loader, trainer }).toTheEnd();
  } finally {
    await loader.close();
  }
}

/** Parts of a {@link TrainingRun} beside its context. */
interface RunParts {
  readonly run: string;
  readonly loader: Loader;
  readonly trainer: Trainer;
}

/** Drives a trainer: everything that happens between the steps of a run. */
class TrainingRun {
  readonly #context: TrainingContext;
  readonly #run: string;
  readonly #loader: Loader;
  readonly #trainer: Trainer;
  readonly #recovery: Recovery;
  readonly #history: ValidationHistory | null;
  readonly #collapse = new CollapseDetector();
  readonly #pace = new ValidationPace();
  #savedAt = performance.now();
  #advised = false;

  /** Restores the checkpoint of the context, if there is one. */
  constructor(context: TrainingContext, { run, loader, trainer }: RunParts) {
    this.#context = context;
    this.#run = run;
    this.#loader = loader;
    this.#trainer = trainer;
    const { checkpoint, config, validator } = context;
    if (checkpoint !== null) {
      this.#withCheckpoint(checkpoint, (read) => {
        trainer.restore(read);
        this.#advised = passesAdvice(context.source, read.state.epoch) !== undefined;
      });
      this.#note(`Continuing from step ${trainer.step} (${checkpoint}).`);
    }
    this.#recovery = new Recovery({
      path: runPaths(run).nonFinite,
      resumedAt: trainer.spent.samples,
      maxSkips: config.train.maxSkips,
      onNote: (message) => {
        this.#note(message);
      },
      rollBack: () => this.#rollBack(),
    });
    this.#history =
      validator === null
        ? null
        : new ValidationHistory({
            run,
            resumedAt: trainer.step,
            settings: config.validation,
            lowerIsBetter: validator.lowerIsBetter,
          });
  }

  async toTheEnd(): Promise<TrainResult> {
    const trainer = this.#trainer;
    await this.#prepare();
    this.#announce();
    const end = await this.#takeSteps();
    const best = this.#history?.best ?? null;
    const { step: steps, spent, loss } = trainer;
    const { samples, seconds, flops } = spent;
    const result: TrainResult = {
      run: this.#run,
      steps,
      samples,
      flops,
      seconds,
      loss,
      ...end,
      quarantined: this.#loader.quarantine.count,
      skipped: this.#recovery.count,
    };
    const summary = this.#summary();
    if (best !== null) result.validation = best;
    if (summary !== null) result.validations = summary;
    if (!end.interrupted) {
      result.model = await saveTrained(this.#run, this.#context, { trainer, best: best !== null });
    }
    return result;
  }

  #note(message: string): void {
    this.#context.emit({ kind: 'note', message });
  }

  /** Opens a checkpoint for a callback. */
  #withCheckpoint(path: string, use: (checkpoint: Checkpoint) => void): void {
    const { strategy } = this.#context;
    const checkpoint = readCheckpoint(path, checkpointParts({ ema: this.#trainer.ema, strategy }));
    use(checkpoint);
    for (const part of Object.values(checkpoint.tensors)) {
      for (const tensor of part.values()) tensor.dispose();
    }
  }

  /** Restores the weights of the last checkpoint; returns its path, null if there is none. */
  #rollBack(): string | null {
    const path = listCheckpoints(this.#run).at(-1);
    if (path === undefined) return null;
    this.#withCheckpoint(path, ({ tensors }) => {
      this.#trainer.restoreWeights(tensors);
    });
    return path;
  }

  /** The strategy's work before the first step. */
  async #prepare(): Promise<void> {
    const { config, source, strategy, signal, emit } = this.#context;
    await strategy.prepare?.({
      model: this.#trainer.model,
      source,
      preprocess: config.preprocess,
      precision: resolvePrecision(config.train.precision, this.#context.device),
      batchSize: preparedAtOnce(config.train),
      quarantine: this.#loader.quarantine,
      exclude: (indices) => {
        this.#loader.exclude(indices);
      },
      signal,
      onProgress: (message) => {
        emit({ kind: 'preparing', message });
      },
    });
  }

  #announce(): void {
    const { config, source, emit, device } = this.#context;
    const { model, groups } = this.#trainer;
    emit({
      kind: 'start',
      run: this.#run,
      model: describeModel(config.model),
      parameters: model.parameters().reduce((sum, { size }) => sum + size, 0),
      samples: source.size,
      device,
      precision: precisionName(resolvePrecision(config.train.precision, device)),
      batchSize: config.train.batchSize,
      budget: config.budget,
      groups: groups.text,
      isUniform: groups.isUniform,
    });
  }

  /** Trains to the end of the run or its interruption, and saves a checkpoint there. */
  async #takeSteps(): Promise<Pick<TrainResult, 'interrupted' | 'stoppedEarly'>> {
    const { config, signal } = this.#context;
    const trainer = this.#trainer;
    const history = this.#history;
    const metrics = new MetricsWriter(this.#run, { resumedAt: trainer.step });
    const exhausted = (): boolean => history?.exhausted === true;
    this.#savedAt = performance.now();
    try {
      // A validation that an interruption prevented.
      await this.#validateIfDue(metrics);
      if (!exhausted()) {
        for await (const report of trainer.run()) {
          this.#record(report, metrics);
          if (signal?.aborted === true && trainer.progress < 1) break;
          await this.#validateIfDue(metrics);
          if (exhausted()) break;
          const minutes = (performance.now() - this.#savedAt) / 60_000;
          if (minutes > config.train.checkpointMinutes) await this.#save(metrics);
        }
      }
      await this.#save(metrics);
    } finally {
      metrics.close();
    }
    const stoppedEarly = exhausted() && trainer.progress < 1;
    if (stoppedEarly && history !== null) this.#note(history.earlyStopMessage());
    return { stoppedEarly, interrupted: trainer.progress < 1 && !stoppedEarly };
  }

  async #validateIfDue(metrics: MetricsWriter): Promise<void> {
    const { validator } = this.#context;
    const trainer = this.#trainer;
    const history = this.#history;
    if (validator === null || history?.due(trainer.progress) !== true) return;
    const { data, every } = this.#context.config.validation;
    const isLast = trainer.progress >= 1;
    const paced =
      data === heldOutData && parseBudget(this.#context.config.budget).unit === 'seconds';
    if (paced && !isLast && !this.#pace.allows(trainer.spent.seconds)) return;
    // A run that is resumed later has the validation before or behind it, never other weights.
    await this.#save(metrics);
    const start = performance.now();
    const row = await validate(this.#context, { run: this.#run, trainer, validator, history });
    const cost = this.#pace.add((performance.now() - start) / 1000, { every });
    if (data === heldOutData && cost !== undefined) this.#note(cost);
    metrics.scalar(`validation/${row.metric}`, row.value, row.step);
  }

  /** The best and the last validation compared; null with fewer than two. */
  #summary(): ValidationSummary | null {
    const { validator } = this.#context;
    const rows = this.#history?.rows ?? [];
    return validator === null || rows.length < 2 ? null : summarizeValidations(rows, validator);
  }

  /** Writes the metrics of a step, or skips it. */
  #record(report: StepReport, metrics: MetricsWriter): void {
    if (report.kind === 'overflow') return;
    if (report.kind === 'skip') {
      this.#recovery.skip(report);
      return;
    }
    const { config, strategy, emit } = this.#context;
    const { row, progress, etaSeconds } = report;
    this.#recovery.take();
    metrics.write(row);
    emit({ kind: 'step', progress, etaSeconds, ...row });
    const collapsed = () => strategy.collapsed(config.train.batchSize, this.#trainer.model);
    const diagnosis = this.#collapse.observe({ ...row, progress, collapsed });
    if (diagnosis !== null) this.#note(diagnosis);
    this.#advise(row.epoch);
  }

  /** Says once that only a validation would show overfitting. */
  #advise(epoch: number): void {
    const { validator, source } = this.#context;
    if (this.#advised || validator !== null) return;
    const message = passesAdvice(source, epoch);
    if (message === undefined) return;
    this.#advised = true;
    this.#note(message);
  }

  /** Saves a checkpoint, after the report of the last step. If the weights are not finite, those of the last one are restored first. */
  async #save(metrics: MetricsWriter): Promise<void> {
    const trainer = this.#trainer;
    const last = await trainer.drain();
    if (last !== null) this.#record(last, metrics);
    if (!trainer.hasFiniteWeights()) {
      this.#recovery.rollBack('the weights are not finite', trainer.step);
    }
    const { keepCheckpoints } = this.#context.config.train;
    const path = writeCheckpoint(this.#run, trainer.checkpoint(), keepCheckpoints);
    this.#context.emit({ kind: 'checkpoint', path, step: trainer.step });
    this.#savedAt = performance.now();
  }
}
