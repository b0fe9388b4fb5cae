import type { ModelLocation, PullEvent } from '../models/index.js';
import { formatBytes } from './output.js';
import { formatFraction, type Progress } from './progress.js';

/** How models are named, for the help of options. */
export const MODEL_NAMES =
  'model directory, file of weights, hf:owner/name, or MODEL/TAG of "models list --pretrained"';

/** Fetches a model that is named, if it is one of the Hub's and not in the cache, and shows how far it is. */
export async function fetchModel(name: string, progress: Progress): Promise<void> {
  const { isModelPath } = await import('../models/index.js');
  if (!isModelPath(name)) await pullModel(name, progress, { refresh: false });
}

/**
 * Locates a model, and shows the progress of fetching it.
 *
 * @param refresh - Ask the Hub even if the model is in the cache
 */
export async function pullModel(
  name: string,
  progress: Progress,
  { refresh }: { refresh: boolean },
): Promise<ModelLocation> {
  const { locateModel } = await import('../models/index.js');
  try {
    return await locateModel(name, { refresh, onEvent: showPull(progress) });
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
