/** A failure of the engine, in one sentence that says what is wrong, where, and what to do. */
export class TorchError extends Error {
  override readonly name = 'TorchError';
}
