/** The worker thread of a {@link Loader}: makes the pictures of the jobs that it is sent. */
import { parentPort, workerData } from 'node:worker_threads';
import { Producer, type ProduceJob, type ProducerSettings } from './image-decoder.js';

export interface WorkerRequest {
  readonly id: number;
  readonly job: ProduceJob;
}

const producer = new Producer(workerData as ProducerSettings);

parentPort?.on('message', ({ id, job }: WorkerRequest) => {
  producer.produce(job).then(
    (produced) => {
      const buffers = Object.values(produced.images).map(({ buffer }) => buffer);
      parentPort?.postMessage({ id, produced }, buffers);
    },
    (error: unknown) => {
      parentPort?.postMessage({
        id,
        error: error instanceof Error ? error.message : String(error),
      });
    },
  );
});
