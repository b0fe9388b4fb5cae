import type { TrainEvent } from '../train/index.js';
import { formatDuration } from './output.js';
import { formatGroups } from './training-plan.js';
import { formatFraction, type Progress } from './progress.js';

/**
 * Shows events of training: steps as progress, all others as lines.
 *
 * @param verbose - Show the groups of parameters also if they train alike
 */
export function showTraining(
  progress: Progress,
  { verbose = false } = {},
): (event: TrainEvent) => void {
  return (event) => {
    switch (event.kind) {
      case 'start': {
        const millions = (event.parameters / 1e6).toFixed(1);
        progress.note(
          `Training ${event.model} (${millions}M parameters) on ${event.samples} samples: ${event.device}, ${event.precision}, batch ${event.batchSize}, budget ${event.budget}, run ${event.run}`,
        );
        if (verbose || !event.isUniform) progress.note(formatGroups(event.groups));
        break;
      }
      case 'step':
        progress.update(
          'training',
          [
            formatFraction(event.progress),
            ...(event.etaSeconds === null ? [] : [`${formatDuration(event.etaSeconds)} left`]),
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
