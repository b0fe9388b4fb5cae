/** Meanings of the system's errors by their codes. */
const meanings: ReadonlyMap<string, string> = new Map([
  ['EACCES', 'permission denied'],
  ['EDQUOT', 'the disk quota is used up'],
  ['EEXIST', 'a file of this name exists'],
  ['EISDIR', 'it is a folder, not a file'],
  ['EMFILE', 'too many files are open'],
  ['ENOENT', 'no such file or folder'],
  ['ENOSPC', 'the disk is full'],
  ['ENOTDIR', 'a part of the path is a file, not a folder'],
  ['EPERM', 'not permitted'],
  ['EROFS', 'the file system is read-only'],
]);

/** The meaning of a system error, such as `no such file or folder`; undefined for other errors. */
export function systemMeaning(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return meanings.get(String(error.code));
}

/** Codes by which the system refuses to write a file or a folder. */
const refusals: ReadonlySet<string> = new Set([
  'EACCES',
  'EDQUOT',
  'EEXIST',
  'ENOSPC',
  'ENOTDIR',
  'EPERM',
  'EROFS',
]);

/** The meaning of a system error by which a path cannot be written; undefined for other errors. */
export function writeRefusal(error: unknown): string | undefined {
  const isRefusal = error instanceof Error && 'code' in error && refusals.has(String(error.code));
  return isRefusal ? systemMeaning(error) : undefined;
}

/** The cause of a failure in a few words: the meaning of a system error, else the error's message. */
export function causeOf(error: unknown): string {
  return systemMeaning(error) ?? (error instanceof Error ? error.message : String(error));
}
