import { formatDuration } from './output.js';

/** Stream of a terminal, as {@link Progress} uses it. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ProgressOptions {
  /** Standard error by default, so that standard output holds only the result. */
  readonly stream?: ProgressStream;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Clock in milliseconds. */
  readonly now?: () => number;
}

/** Milliseconds between updates of a live line, and of a log. */
const liveInterval = 100;
const logInterval = 10_000;

/**
 * Progress of long work: on a terminal one line that is rewritten and erased at the end, otherwise a
 * plain line every ten seconds.
 */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #live: boolean;
  readonly #now: () => number;
  #last = -Infinity;
  #task = '';
  #shown = false;

  constructor({
    stream = process.stderr,
    env = process.env,
    now = Date.now,
  }: ProgressOptions = {}) {
    this.#stream = stream;
    this.#live = stream.isTTY === true && env.TERM !== 'dumb';
    this.#now = now;
  }

  /** Shows the state `text` of `task`, at most once per interval; a new task is always shown. */
  update(task: string, text: string): void {
    const now = this.#now();
    const interval = this.#live ? liveInterval : logInterval;
    if (task === this.#task && now - this.#last < interval) return;
    this.#last = now;
    this.#task = task;
    const line = text === '' ? task : `${task}  ${text}`;
    if (this.#live) {
      this.#stream.write(`\r${fit(line, (this.#stream.columns ?? 80) - 1)}\x1b[K`);
      this.#shown = true;
    } else {
      this.#stream.write(`${line}\n`);
    }
  }

  /** Prints a line that stays. */
  note(line: string): void {
    this.done();
    this.#stream.write(`${line}\n`);
  }

  /** Erases the live line. */
  done(): void {
    if (this.#shown) this.#stream.write('\r\x1b[K');
    this.#shown = false;
    this.#task = '';
  }
}

/** Cuts a line to the columns of the terminal, so that it never wraps. */
function fit(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`;
}

const barWidth = 12;

/** A bar and the percentage of a fraction from 0 to 1. */
export function formatFraction(fraction: number): string {
  const clamped = Math.min(1, Math.max(0, fraction));
  const full = Math.round(clamped * barWidth);
  const percent = String(Math.floor(clamped * 100)).padStart(3);
  return `${'█'.repeat(full)}${'░'.repeat(barWidth - full)} ${percent}%`;
}

/** Time in milliseconds that counted work has to take before its pace says when it ends. */
const paceAfter = 1000;

/** Progress of counted work that began at `start`, with an ETA after a second, e.g. `12/40 · 3m 20s left`. */
export function formatCount(done: number, total: number, start: number, now = Date.now()): string {
  const left = ((now - start) / 1000 / done) * (total - done);
  const paced = done > 0 && done < total && now - start >= paceAfter;
  const eta = paced ? ` · ${formatDuration(left)} left` : '';
  return `${formatFraction(total > 0 ? done / total : 0)} ${done}/${total}${eta}`;
}
