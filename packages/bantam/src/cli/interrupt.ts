import { constants } from 'node:os';

/**
 * An AbortSignal that the first SIGINT or SIGTERM aborts, with a message on standard error; the second
 * ends the process at once. Without this call, either signal ends the process.
 *
 * @param consequence consequence of the signal for the message, e.g. `saving a checkpoint`.
 */
export function stopOnInterrupt(consequence: string): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(128 + constants.signals[name]);
      process.stderr.write(`\n${name}: ${consequence}; once more to stop at once.\n`);
      controller.abort();
    });
  }
  return controller.signal;
}
