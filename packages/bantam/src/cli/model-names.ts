import { existsSync } from 'node:fs';
import type { ModelLocation, PullEvent } from '../models/index.js';
import { formatBytes } from '../base/format-bytes.js';
import { formatFraction, type Progress } from './progress.js';

/** How models are named, for the help of options. */
export const MODEL_NAMES =
  'model directory or run, file of weights, hf:owner/name, or MODEL/TAG of "models list --pretrained"';

/**
 * Fetches a model that is named, and the base models of an adapter, if they are of the Hub and not in the
 * cache, and shows how far it is. A path that leads to nothing is left to who reads it.
 */
export async function fetchModel(name: string, progress: Progress): Promise<void> {
  const { isModelPath } = await import('../models/index.js');
  if (existsSync(name) || !isModelPath(name)) await pullModel(name, progress, { refresh: false });
}

/**
 * Locates a model, and the base models of an adapter, and shows the progress of fetching them.
 *
 * @param refresh - Ask the Hub even if the model is in the cache
 * @returns The model itself first
 */
export async function pullModel(
  name: string,
  progress: Progress,
  { refresh }: { refresh: boolean },
): Promise<readonly ModelLocation[]> {
  const { locateWithBases } = await import('../models/index.js');
  try {
    return await locateWithBases(name, { refresh, onEvent: showPull(progress) });
  } finally {
    progress.done();
  }
}

function showPull(progress: Progress): (event: PullEvent) => void {
  return (event) => {
    if (event.kind === 'progress') {
      const { file, done, total } = event;
      const fraction = formatFraction(total > 0 ? done / total : 0);
      progress.update(
        'fetching',
        `${fraction} ${formatBytes(done)} of ${formatBytes(total)} · ${file}`,
      );
    } else if (event.kind === 'wait') {
      progress.update('waiting', `process ${event.process} fetches the same model`);
    } else {
      progress.note(`${event.reason}; another attempt in ${Math.ceil(event.seconds)} s.`);
    }
  };
}
