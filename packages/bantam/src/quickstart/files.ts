import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BantamError } from '../base/errors.js';
import { runPaths } from '../train/index.js';

/** Files of the quickstart. Its folder is the folder of its run as well. */
export const quickstartPaths = (out: string) => ({
  config: runPaths(out).config,
  model: runPaths(out).model,
  index: join(out, 'index.safetensors'),
  evaluation: join(out, 'evaluation.json'),
  report: join(out, 'report.html'),
});

/** The next stage of the quickstart in a folder. */
export type QuickstartStage = 'train' | 'resume' | 'evaluate' | 'finished';

/** Reads the stage off the files: the configuration is written before training, the model after it, the report last. */
export function quickstartStage(out: string): QuickstartStage {
  const { config, model, report } = quickstartPaths(out);
  if (!existsSync(config)) return 'train';
  if (!existsSync(model)) return 'resume';
  return existsSync(report) ? 'finished' : 'evaluate';
}

/**
 * Removes a quickstart.
 *
 * @throws BantamError when the folder holds something else: a run of other data.
 */
export async function removeQuickstart(out: string): Promise<void> {
  if (!existsSync(out)) return;
  if (!existsSync(quickstartPaths(out).config)) {
    throw new BantamError(`${out} holds no quickstart to replace; name another folder with --out.`);
  }
  await rm(out, { recursive: true });
}
