/** Speeds that this machine was timed at, kept for later plans. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '@bantam/torch';
import * as v from 'valibot';
import { cacheDirectory } from '../../base/cache-dir.js';
import { isBusy } from '../../base/cpu-load.js';
import { makeFolder } from '../../base/make-folder.js';
import { finite } from '../../base/schema.js';
import { version } from '../../base/version.js';
import { threadsOf } from '../runs/process-pool.js';
import { canonicalJson } from '../runs/study-run.js';

/** Older measurements may be of another system. */
const longestKept = 30 * 24 * 3600 * 1000;

/** Those of a busy machine are for the same plan again. */
const longestBusy = 3600 * 1000;

/** A file of the cache: the measurement, the seconds that it took, its date, and the load beside it. */
const keptSchema = v.object({
  value: v.unknown(),
  timing: finite(),
  measured: finite(),
  others: finite(),
});

/** A measurement in the cache, named by everything that it depends on beside the machine. */
export class TimingCache<T> {
  readonly #schema: v.GenericSchema<T>;
  readonly #file: string;
  readonly #others: number;

  /** @param others - Cores that other processes use now */
  constructor(
    schema: v.GenericSchema<T>,
    { others, ...facts }: Readonly<Record<string, unknown>> & { readonly others: number },
  ) {
    const cpu = cpus()[0]?.model.trim() ?? 'unknown';
    const level = process.env.BANTAM_MAX_ISA ?? '';
    const all = { version, cpu, level, threads: threadsOf(1), ...facts };
    const hash = createHash('sha256').update(canonicalJson(all)).digest('hex').slice(0, 24);
    this.#schema = schema;
    this.#others = others;
    this.#file = join(cacheDirectory(), 'rates', `${hash}.json`);
  }

  /**
   * The kept measurement; undefined if there is none, or it is old, damaged or was timed for less. That of a
   * busy machine is of no use once the machine is idle.
   */
  read(timing: number): T | undefined {
    const kept = this.#parsed();
    if (!v.is(keptSchema, kept) || !v.is(this.#schema, kept.value)) return undefined;
    const wasBusy = isBusy(kept.others);
    if (wasBusy && !isBusy(this.#others)) return undefined;
    const longest = wasBusy ? longestBusy : longestKept;
    const isCurrent = Date.now() - kept.measured <= longest && kept.timing >= timing;
    return isCurrent ? kept.value : undefined;
  }

  /** The file's value; undefined if it cannot be read. */
  #parsed(): unknown {
    if (!existsSync(this.#file)) return undefined;
    try {
      return JSON.parse(readFileSync(this.#file, 'utf8')) as unknown;
    } catch {
      return undefined;
    }
  }

  /** Keeps a measurement that was timed for so many seconds. */
  write(value: T, timing: number): void {
    const kept = { value, timing, measured: Date.now(), others: this.#others };
    makeFolder(dirname(this.#file));
    writeFileAtomic(this.#file, [Buffer.from(`${JSON.stringify(kept)}\n`)]);
  }
}
