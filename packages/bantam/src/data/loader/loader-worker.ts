/** The worker thread of a {@link Loader}: makes the images of the jobs that it is sent. */
import { parentPort, workerData } from 'node:worker_threads';
import { causeOf } from '../../base/system-error.js';
import { ImageDecoder, type DecodeJob, type DecoderSettings } from './image-decoder.js';

export interface WorkerRequest {
  readonly id: number;
  readonly job: DecodeJob;
}

const decoder = new ImageDecoder(workerData as DecoderSettings);

parentPort?.on('message', ({ id, job }: WorkerRequest) => {
  decoder.decode(job).then(
    (decoded) => {
      const buffers = Object.values(decoded.images).map(({ buffer }) => buffer);
      parentPort?.postMessage({ id, decoded }, buffers);
    },
    (error: unknown) => {
      parentPort?.postMessage({
        id,
        error: causeOf(error),
      });
    },
  );
});
