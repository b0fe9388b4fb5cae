import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EventWriter } from './tensorboard.js';

/** One row of `metrics.jsonl`. */
export interface MetricsRow {
  /** Optimizer steps done. */
  step: number;
  samples: number;
  epoch: number;
  loss: number;
  /** The losses of the strategy that add up to it. */
  losses: Readonly<Record<string, number>>;
  lr: number;
  /** exp of the learned log temperature. */
  logitScale: number;
  /** L2 norm of the gradient before clipping. */
  gradNorm: number;
  samplesPerSecond: number;
  /** Share of the time that was spent waiting for data. */
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
    this.#path = join(run, 'metrics.jsonl');
    keepRowsUpTo(this.#path, resumedAt);
    this.#events = new EventWriter(join(run, 'tensorboard'), { startStep: resumedAt + 1 });
  }

  write(row: MetricsRow): void {
    appendFileSync(this.#path, `${JSON.stringify(row)}\n`);
    const wallTime = Date.now() / 1000;
    const { step, losses, ...values } = row;
    const parts = Object.entries(losses).map(([name, value]) => [`loss/${name}`, value] as const);
    for (const [name, value] of [...Object.entries(values), ...parts]) {
      this.#events.scalar(`train/${name}`, value, step, wallTime);
    }
  }

  close(): void {
    this.#events.close();
  }
}

/** The rows of a run; a last line that a crash cut off is left out. */
export function readMetrics(run: string): MetricsRow[] {
  const path = join(run, 'metrics.jsonl');
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as MetricsRow];
      } catch {
        return [];
      }
    });
}

function keepRowsUpTo(path: string, step: number): void {
  if (!existsSync(path)) return;
  const text = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => {
      try {
        return (JSON.parse(line) as MetricsRow).step <= step;
      } catch {
        return false;
      }
    })
    .map((line) => `${line}\n`)
    .join('');
  writeFileSync(`${path}.tmp`, text);
  renameSync(`${path}.tmp`, path);
}
