import { join } from 'node:path';
import { appendJsonLine, keepJsonLines, readJsonLines } from '../../base/json-lines.js';
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
