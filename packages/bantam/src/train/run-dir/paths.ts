import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '@bantam/torch';
import { BantamError, UsageError } from '../../base/errors.js';
import { makeFolder } from '../../base/make-folder.js';
import { causeOf } from '../../base/system-error.js';
import { parseTrainConfig, type TrainConfig } from '../config/config.js';

/** Files and folders of a run. */
export const runPaths = (run: string) => ({
  config: join(run, 'config.json'),
  data: join(run, 'data.json'),
  tokenizer: join(run, 'tokenizer'),
  model: join(run, 'model'),
  best: join(run, 'best'),
  validation: join(run, 'validation.jsonl'),
  heldOut: join(run, 'held-out.txt'),
  quarantine: join(run, 'quarantine.jsonl'),
  nonFinite: join(run, 'non-finite.jsonl'),
});

/**
 * Makes the folder of a new run.
 *
 * @throws UsageError when it holds a run already; BantamError when it cannot be written.
 */
export function createRun(run: string): void {
  if (existsSync(runPaths(run).config)) {
    throw new UsageError(
      `The folder ${run} holds a run already; continue it with --resume ${run}, or choose another --out.`,
    );
  }
  try {
    makeFolder(run);
    accessSync(run, constants.W_OK);
  } catch (error) {
    throw new BantamError(
      `The run folder ${run} cannot be written (${causeOf(error)}); choose another --out.`,
    );
  }
}

/** Writes the run's configuration; with it the run can be resumed. */
export function writeRunConfig(run: string, config: TrainConfig): void {
  const text = `${JSON.stringify(config, null, 2)}\n`;
  writeFileAtomic(runPaths(run).config, [Buffer.from(text)]);
}

/** @throws BantamError if there is no run in that folder, or its configuration cannot be read. */
export function readRunConfig(run: string): TrainConfig {
  const path = runPaths(run).config;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new BantamError(
      `There is no run to resume in ${run} (no config.json); start one with --out ${run}.`,
    );
  }
  return parseTrainConfig(text, path);
}
