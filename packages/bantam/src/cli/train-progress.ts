import type { TrainEvent } from '../train/index.js';
import { formatDuration } from './output.js';
import { formatFraction, type Progress } from './progress.js';

/** Shows events of training: steps as progress, all others as lines. */
export function showTraining(progress: Progress): (event: TrainEvent) => void {
  return (event) => {
    switch (event.kind) {
      case 'start': {
        const millions = (event.parameters / 1e6).toFixed(1);
        progress.note(
          `Training ${event.model} (${millions}M parameters) on ${event.samples} samples: ${event.device}, ${event.precision}, batch ${event.batchSize}, budget ${event.budget}, run ${event.run}`,
        );
        progress.note(`Groups of parameters:\n${event.groups.replaceAll(/^/gm, '  ')}`);
        break;
      }
      case 'step':
        progress.update(
          'training',
          [
            formatFraction(event.progress),
            `${formatDuration(event.etaSeconds)} left`,
            `loss ${event.loss.toFixed(3)}`,
            `${event.samplesPerSecond.toFixed(0)} samples/s`,
            `data wait ${(event.dataWait * 100).toFixed(0)}%`,
          ].join(' · '),
        );
        break;
      case 'preparing':
        progress.update('preparing', event.message);
        break;
      case 'validating':
        progress.update('validating', event.message);
        break;
      case 'validation':
        progress.note(
          `Validation at step ${event.step}: ${event.metric} ${event.value.toFixed(4)}${event.best ? ', the best so far' : ''}`,
        );
        break;
      case 'note':
        progress.note(event.message);
        break;
      case 'checkpoint':
        break;
    }
  };
}
