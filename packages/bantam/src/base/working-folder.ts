import { realpathSync } from 'node:fs';
import { relative, resolve } from 'node:path';

/** The current folder as a path relative to `folder`, so that both can move together. */
export function storedWorkingFolder(folder: string): string {
  return relative(realpathSync(folder), realpathSync('.'));
}

/** The folder that {@link storedWorkingFolder} stored, if it is another than the current one. */
export function otherWorkingFolder(stored: string, folder: string): string | undefined {
  const path = resolve(realpathSync(folder), stored);
  return path === realpathSync('.') ? undefined : path;
}
