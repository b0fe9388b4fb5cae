/**
 * A process that carries out runs of a study, one after the other. It is a process of its own so that
 * several share the cores, and one that the system ends takes no other run with it.
 */
import { causeOf } from '../../base/system-error.js';
import { planRun } from '../../train/index.js';
import { carryOut } from './carry-out.js';
import type { FromProcess, JobOutcome, StudyJob, ToProcess } from './messages.js';

// Signals to the whole group of processes are the study's to handle.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined);
// The study is gone: a run has its last checkpoint.
process.on('disconnect', () => process.exit());

let controller = new AbortController();
process.on('message', (message) => {
  const received = message as ToProcess;
  if (received.kind === 'stop') controller.abort();
  else void work(received.job);
});

async function work(job: StudyJob): Promise<void> {
  controller = new AbortController();
  send(await outcomeOf(job));
}

async function outcomeOf(job: StudyJob): Promise<JobOutcome> {
  const { signal } = controller;
  try {
    if (job.kind === 'plan') {
      send({ kind: 'progress', stage: 'planning', progress: 0 });
      return { kind: 'done', plan: await planRun({ ...job.options, timing: job.timing, signal }) };
    }
    return await carryOut(job, {
      signal,
      onProgress: (stage, progress) => {
        send({ kind: 'progress', stage, progress });
      },
    });
  } catch (error) {
    return { kind: 'failed', message: causeOf(error) };
  }
}

function send(message: FromProcess): void {
  if (!process.connected) return;
  // The pipe of a study that was killed is broken before 'disconnect' is emitted.
  process.send?.(message, (error: Error | null) => {
    if (error !== null) process.exit();
  });
}
