/** Loaded before a program: writes the user seconds of the whole process to its descriptor 3. */
import { writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  process.on('exit', () => {
    writeSync(3, String(process.cpuUsage().user / 1e6));
  });
}
