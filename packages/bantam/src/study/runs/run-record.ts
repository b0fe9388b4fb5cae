/** The record that a finished training of a study leaves in its run directory. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '@bantam/torch';

/** Costs of a finished training. */
export interface RunRecord {
  readonly steps: number;
  readonly samples: number;
  readonly flops: number;
  /** Training time, set-up and saving left out. */
  readonly seconds: number;
  /** Threads of libtorch. */
  readonly threads: number;
  /** True if it ended before its budget, for want of better validations. */
  readonly stoppedEarly: boolean;
  readonly quarantined: number;
  readonly skipped: number;
  /** Remarks of the training. */
  readonly notes: readonly string[];
}

function pathOf(run: string): string {
  return join(run, 'trained.json');
}

/** The record of a run; undefined while its training is not finished. */
export function readRecord(run: string): RunRecord | undefined {
  const path = pathOf(run);
  if (!existsSync(path)) return undefined;
  // Written below, whole or not at all.
  return JSON.parse(readFileSync(path, 'utf8')) as RunRecord;
}

/** Writes the record of a run, whole or not at all. */
export function writeRecord(run: string, record: RunRecord): void {
  writeFileAtomic(pathOf(run), [Buffer.from(`${JSON.stringify(record, null, 2)}\n`)]);
}
