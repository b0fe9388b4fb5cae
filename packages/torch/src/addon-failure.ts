import { TorchError } from './errors.js';

/** One sentence for an addon that could not be loaded: it is missing, or its libraries are. */
export function addonFailure(error: unknown): TorchError {
  if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') {
    return new TorchError(
      'The native addon of @bantam/torch is not here yet: run "npx bantam setup", which gets libtorch and the addon.',
    );
  }
  const [reason = ''] = String(error instanceof Error ? error.message : error).split('\n');
  return new TorchError(
    `The native addon of @bantam/torch did not load (${reason}): run "npx bantam setup", which mends it or says why not.`,
  );
}
