import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BantamError } from '../base/errors.js';
import { runPaths } from '../train/index.js';

/** What the quickstart leaves in its folder, which is the folder of its run as well. */
export const quickstartPaths = (out: string) => ({
  config: runPaths(out).config,
  model: runPaths(out).model,
  index: join(out, 'index.safetensors'),
  evaluation: join(out, 'evaluation.json'),
  report: join(out, 'report.html'),
});

/** How far the quickstart in a folder has come: what is to be done next. */
export type QuickstartStage = 'train' | 'resume' | 'evaluate' | 'finished';

/** The report is written last, the model after training, the configuration before. */
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
