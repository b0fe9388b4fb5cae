import type { StudyEvent } from '../study/index.js';
import { formatDuration } from './output.js';
import { formatFraction, type Progress } from './progress.js';

/** Shows events of a study: its progress as a line, all others as lines that stay. */
export function showStudy(progress: Progress, name = 'study'): (event: StudyEvent) => void {
  return (event) => {
    switch (event.kind) {
      case 'progress': {
        const { done, total, etaSeconds, running } = event;
        const now = running.map(
          (one) => `${one.arm} (seed ${one.seed}) ${one.stage} ${Math.floor(100 * one.progress)} %`,
        );
        progress.update(
          name,
          [
            `${formatFraction(event.progress)} ${done}/${total} runs`,
            ...(etaSeconds === null ? [] : [`${formatDuration(etaSeconds)} left`]),
            ...now,
          ].join(' · '),
        );
        break;
      }
      case 'finished':
        progress.note(`${event.arm}, seed ${event.seed}: done (${event.run})`);
        break;
      case 'failed':
        progress.note(`${event.arm}, seed ${event.seed}: failed. ${event.message}`);
        break;
    }
  };
}
