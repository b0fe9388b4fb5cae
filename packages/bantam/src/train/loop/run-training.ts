/** A run from its start, or its checkpoint, to its model. */
import type { Tensor } from '@bantam/torch';
import { GroupError } from '@bantam/torch/distributed';
import { BantamError } from '../../base/errors.js';
import { precisionName } from '../../base/precision-name.js';
import { resolvePrecision } from '../../base/precision.js';
import { parseBudget } from '../config/budget.js';
import { heldOutData } from '../config/hold-out.js';
import { describeNote, Loader, pixelCacheLimit } from '../../data/index.js';
import type { Validator } from '../../eval/index.js';
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
import { listCheckpoints, writeCheckpoint } from '../run-dir/checkpoint.js';
import { describePhase, phaseAt, type Phase } from '../strategies/phases.js';
import { MetricsWriter, type ValidationRow } from '../run-dir/metrics.js';
import { saveTrained } from '../run-dir/model-directory.js';
import { runPaths } from '../run-dir/paths.js';
import type { TrainingContext } from './context.js';
import {
  alone,
  follow,
  prepareTraining,
  restoreWeights,
  unsaved,
  withCheckpoint,
  type Orders,
  type RunParts,
} from './follow.js';
import { microBatchSize } from './micro-batch.js';
import { Trainer, type StepReport } from './trainer.js';

/**
 * Trains in a run directory until the budget is used, validations are no better or the signal comes,
 * with metrics and checkpoints on the way; then saves the model.
 */
export async function runTraining(context: TrainingContext, run: string): Promise<TrainResult> {
  const { config, source, strategy, emit, world } = context;
  const leads = world === null || world.isFirst;
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
    cacheBytes: pixelCacheLimit(config.train.memoryLimit),
    ...(strategy.replay && { replay: strategy.replay }),
    ...(world && { part: world.part }),
    // Rank 0 counts the broken samples of all.
    quarantine: leads ? { path: runPaths(run).quarantine } : { tolerated: Infinity },
  });
  try {
    using trainer = new Trainer(context, loader);
    const parts = { run, loader, trainer };
    return leads ? await new TrainingRun(context, parts).toTheEnd() : await follow(context, parts);
  } finally {
    await loader.close();
  }
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
  #phase: Phase;
  /** True if a signal ended a validation, which is still due. */
  #isValidationOpen = false;
  /** The checkpoint whose weights were restored since the last step. */
  #restored: string | null = null;

  /** Restores the checkpoint of the context, if there is one. */
  constructor(context: TrainingContext, { run, loader, trainer }: RunParts) {
    this.#context = context;
    this.#run = run;
    this.#loader = loader;
    this.#trainer = trainer;
    const { checkpoint, config, validator } = context;
    if (checkpoint !== null) {
      withCheckpoint(context, { trainer, path: checkpoint }, (read) => {
        trainer.restore(read);
        this.#advised = passesAdvice(context.source, read.state.epoch) !== undefined;
      });
      this.#note(`Continuing from step ${trainer.step} (${checkpoint}).`);
    }
    this.#phase = phaseAt(context.strategy.phases, trainer.progress).phase;
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
    await prepareTraining(this.#context, { loader: this.#loader, trainer });
    this.#announce();
    const metrics = new MetricsWriter(this.#run, { resumedAt: trainer.step });
    try {
      await this.#takeSteps(metrics);
      const end = await alone<Orders & { readonly next: 'end' }>(this.#context.world, async () => {
        return { next: 'end', result: await this.#finish(metrics) };
      });
      return end.result;
    } catch (error) {
      if (!(error instanceof GroupError)) throw error;
      // A part of the optimizer's state is gone with its process.
      if (trainer.isSharded) throw unsaved(error, this.#run);
      await this.#save(metrics);
      throw new BantamError(
        `${error.message} The run is saved at step ${trainer.step}; resume it with "bantam train --resume ${this.#run}".`,
        { cause: error },
      );
    } finally {
      metrics.close();
    }
  }

  /** Saves a checkpoint, and at the end of the run its model. */
  async #finish(metrics: MetricsWriter): Promise<TrainResult> {
    const trainer = this.#trainer;
    await this.#save(metrics);
    const stoppedEarly = this.#isExhausted && trainer.progress < 1;
    if (stoppedEarly) this.#note(this.#history?.earlyStopMessage() ?? '');
    const interrupted = (trainer.progress < 1 && !stoppedEarly) || this.#isValidationOpen;
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
      interrupted,
      stoppedEarly,
      quarantined: this.#loader.quarantine.count,
      skipped: this.#recovery.count,
    };
    const summary = this.#summary();
    if (best !== null) result.validation = best;
    if (summary !== null) result.validations = summary;
    if (!interrupted) {
      result.model = await saveTrained(this.#run, this.#context, { trainer, best: best !== null });
    }
    return result;
  }

  /** True if validations without a better value end the run. */
  get #isExhausted(): boolean {
    return this.#history?.exhausted === true;
  }

  #note(message: string): void {
    this.#context.emit({ kind: 'note', message });
  }

  /** Restores the weights of the last checkpoint; returns its path, null if there is none. */
  #rollBack(): string | null {
    const path = listCheckpoints(this.#run).at(-1);
    if (path === undefined) return null;
    restoreWeights(this.#context, { trainer: this.#trainer, path });
    this.#restored = path;
    return path;
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

  /** Trains to the end of the run or its interruption. */
  async #takeSteps(metrics: MetricsWriter): Promise<void> {
    const trainer = this.#trainer;
    this.#savedAt = performance.now();
    // A validation that an interruption prevented.
    const start = await this.#between(async () => {
      await this.#validateIfDue(metrics);
      return this.#isExhausted || this.#isValidationOpen;
    });
    if (start.next === 'stop') return;
    for await (const report of trainer.run()) {
      const next = await this.#between(async () => {
        this.#record(report, metrics);
        this.#announcePhase();
        if (this.#isInterrupted) return true;
        await this.#validateIfDue(metrics);
        if (this.#isExhausted || this.#isValidationOpen) return true;
        const minutes = (performance.now() - this.#savedAt) / 60_000;
        if (minutes > this.#context.config.train.checkpointMinutes) await this.#save(metrics);
        return false;
      });
      if (next.next === 'stop') return;
    }
  }

  /** Says that another phase begins with the next step. */
  #announcePhase(): void {
    const { strategy, config } = this.#context;
    const before = this.#phase;
    this.#phase = phaseAt(strategy.phases, this.#trainer.progress).phase;
    if (this.#phase === before) return;
    const next = { before, step: this.#trainer.step + 1, lr: config.train.lr };
    this.#note(describePhase(this.#phase, next));
  }

  /** Work between two steps, which says whether to stop and for which the other processes wait. */
  #between(work: () => Promise<boolean>): Promise<Orders> {
    return alone(this.#context.world, async () => {
      this.#restored = null;
      const stop = await work();
      return this.#orders(stop ? 'stop' : 'step');
    });
  }

  /** Orders to the other processes, which restore what has been restored here. */
  #orders(next: 'step' | 'stop' | 'gather'): Orders {
    const restored = this.#restored;
    this.#restored = null;
    return { next, restored };
  }

  /** Copies of the optimizer's state that the other processes have. */
  async #gatherOptimizer(): Promise<ReadonlyMap<string, Tensor>> {
    const { world } = this.#context;
    const trainer = this.#trainer;
    if (trainer.isSharded) await world?.tell(this.#orders('gather'));
    return await trainer.gatherOptimizer();
  }

  /** True if a signal ends the run before its budget is used. */
  get #isInterrupted(): boolean {
    const { signal, world } = this.#context;
    const isWished = signal?.aborted === true || world?.isStopWished === true;
    return isWished && this.#trainer.progress < 1;
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
    const row = await this.#validate(validator, history);
    if (row === null) return;
    const cost = this.#pace.add((performance.now() - start) / 1000, { every });
    if (data === heldOutData && cost !== undefined) this.#note(cost);
    metrics.scalar(`validation/${row.metric}`, row.value, row.step);
  }

  /** Validates; null if the signal comes, after which a run that resumes begins with this validation. */
  async #validate(validator: Validator, history: ValidationHistory): Promise<ValidationRow | null> {
    const { signal } = this.#context;
    const parts = { run: this.#run, trainer: this.#trainer, validator, history };
    try {
      return await validate(this.#context, parts);
    } catch (error) {
      if (signal?.aborted !== true || error !== signal.reason) throw error;
      this.#isValidationOpen = true;
      return null;
    }
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
    const others = await this.#gatherOptimizer();
    const path = writeCheckpoint(this.#run, trainer.checkpoint(others), keepCheckpoints);
    for (const tensor of others.values()) tensor.dispose();
    this.#context.emit({ kind: 'checkpoint', path, step: trainer.step });
    this.#savedAt = performance.now();
  }
}
