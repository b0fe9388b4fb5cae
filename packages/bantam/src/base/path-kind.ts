import { stat } from 'node:fs/promises';

/** True if there is a file of this path, followed through links. */
export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() ?? false;
}

/** True if there is a folder of this path, followed through links. */
export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() ?? false;
}
