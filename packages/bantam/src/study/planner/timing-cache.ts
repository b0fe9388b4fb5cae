/** What this machine was timed at, kept for later plans. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '@bantam/torch';
import { cacheDirectory } from '../../base/cache-dir.js';
import { makeFolder } from '../../base/make-folder.js';
import { threadsOf } from '../runs/process-pool.js';
import { canonicalJson } from '../runs/study-run.js';

const { version } = createRequire(import.meta.url)('../../../package.json') as {
  version: string;
};

/** Older measurements may be of another system. */
const longestKept = 30 * 24 * 3600 * 1000;

/** A file of the cache: what was measured, for how many seconds, and when. */
interface Kept<T> {
  readonly value: T;
  readonly timing: number;
  readonly measured: number;
}

/** A measurement in the cache, named by everything that it depends on beside the machine. */
export class TimingCache<T> {
  readonly #file: string;

  constructor(facts: Readonly<Record<string, unknown>>) {
    const cpu = cpus()[0]?.model.trim() ?? 'unknown';
    const level = process.env.BANTAM_MAX_ISA ?? '';
    const all = { version, cpu, level, threads: threadsOf(1), ...facts };
    const hash = createHash('sha256').update(canonicalJson(all)).digest('hex').slice(0, 24);
    this.#file = join(cacheDirectory(), 'rates', `${hash}.json`);
  }

  /** What is kept; undefined if there is nothing, or it is old, damaged or was timed for less. */
  read(timing: number): T | undefined {
    if (!existsSync(this.#file)) return undefined;
    let kept: Kept<T>;
    try {
      kept = JSON.parse(readFileSync(this.#file, 'utf8')) as Kept<T>;
    } catch {
      return undefined;
    }
    const isCurrent = Date.now() - kept.measured <= longestKept && kept.timing >= timing;
    return isCurrent ? kept.value : undefined;
  }

  /** Keeps what was timed for so many seconds. */
  write(value: T, timing: number): void {
    const kept: Kept<T> = { value, timing, measured: Date.now() };
    makeFolder(join(this.#file, '..'));
    writeFileAtomic(this.#file, [Buffer.from(`${JSON.stringify(kept)}\n`)]);
  }
}
