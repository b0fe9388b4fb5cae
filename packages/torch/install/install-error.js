/** A failure that the user can mend: one sentence with what is missing, where, and the remedy. */
export class InstallError extends Error {
  name = 'InstallError';
}
