/** A failure of libtorch or its addon, in one sentence that says what is wrong, where, and what to do. */
export class TorchError extends Error {
  override readonly name = 'TorchError';
}
