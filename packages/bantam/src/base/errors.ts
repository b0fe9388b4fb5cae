/** An error that users are meant to read: one sentence with what is wrong, where, and what to do. */
export class BantamError extends Error {
  override readonly name: string = 'BantamError';
  /** Exit status of the command line. */
  readonly exitCode: 1 | 2 = 1;
}

/** The command or its arguments are wrong; exit status 2. */
export class UsageError extends BantamError {
  override readonly name = 'UsageError';
  override readonly exitCode = 2;
}
