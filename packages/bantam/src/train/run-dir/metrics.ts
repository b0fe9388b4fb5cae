/** The rows that a run writes about its steps and validations. */
import { join } from 'node:path';
import { appendJsonLine, keepJsonLines, readJsonLines } from '../../base/json-lines.js';
import { runPaths } from './paths.js';
import { EventWriter } from './tensorboard.js';

/** One row of `metrics.jsonl`. */
export interface MetricsRow {
  /** Optimizer steps done. */
  step: number;
  samples: number;
  epoch: number;
  loss: number;
  /** The strategy's losses, whose sum it is. */
  losses: Readonly<Record<string, number>>;
  lr: number;
  /** exp of the learned log temperature. */
  logitScale: number;
  /** L2 norm of the gradient before clipping. */
  gradNorm: number;
  samplesPerSecond: number;
  /** Fraction of the time that was spent waiting for data. */
  dataWait: number;
  /** Fraction of the time that several processes spent in collectives, waiting for each other included. */
  communication?: number;
  /** Training time so far. */
  seconds: number;
}

/** Writes the rows of a run as JSON lines and as TensorBoard events. */
export class MetricsWriter {
  readonly #path: string;
  readonly #events: EventWriter;

  /** Rows of steps after `resumedAt` are dropped: training will write them again. */
  constructor(run: string, { resumedAt }: { resumedAt: number }) {
    this.#path = metricsPath(run);
    keepJsonLines<MetricsRow>(this.#path, ({ step }) => step <= resumedAt);
    this.#events = new EventWriter(join(run, 'tensorboard'), { startStep: resumedAt + 1 });
  }

  write(row: MetricsRow): void {
    appendJsonLine(this.#path, row);
    const wallTime = Date.now() / 1000;
    const { step, losses, ...values } = row;
    const parts = Object.entries(losses).map(([name, value]) => [`loss/${name}`, value] as const);
    for (const [name, value] of [...Object.entries(values), ...parts]) {
      this.#events.scalar(`train/${name}`, value, step, wallTime);
    }
  }

  /** Adds one value to TensorBoard. */
  scalar(name: string, value: number, step: number): void {
    this.#events.scalar(name, value, step, Date.now() / 1000);
  }

  close(): void {
    this.#events.close();
  }
}

/** The rows of a run; a last line that a crash cut off is left out. */
export function readMetrics(run: string): MetricsRow[] {
  return readJsonLines(metricsPath(run));
}

function metricsPath(run: string): string {
  return join(run, 'metrics.jsonl');
}

/** A line of `validation.jsonl`. */
export interface ValidationRow {
  readonly step: number;
  /** Samples seen. */
  readonly samples: number;
  /** Fraction of the budget used, 0 … 1. */
  readonly progress: number;
  readonly metric: string;
  readonly value: number;
  /** True if it is better than all before. */
  readonly best: boolean;
}

/** The validations of a run so far. */
export function readValidations(run: string): ValidationRow[] {
  return readJsonLines(runPaths(run).validation);
}
