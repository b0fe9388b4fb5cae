import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { BantamError } from './errors.js';
import { isProcessAlive } from './process-alive.js';

/** Writes of one process at a time: a file with the process that writes. */
export class FolderLock {
  readonly #path: string;

  /** @throws BantamError while another process holds the lock. One that was killed holds none. */
  constructor(folder: string) {
    this.#path = join(folder, 'lock');
    const own = `${process.pid} ${hostname()}`;
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        const file = openSync(this.#path, 'wx');
        writeSync(file, own);
        closeSync(file);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = this.#holder();
      // It was released between the two calls, and another process may be about to take it.
      if (holder === undefined) continue;
      if (isRunning(holder)) break;
      rmSync(this.#path, { force: true });
    }
    throw new BantamError(
      `Another process (${this.#holder() ?? 'unknown'}) is writing to ${folder}; wait until it has ended, or delete ${this.#path} if there is none.`,
    );
  }

  release(): void {
    rmSync(this.#path, { force: true });
  }

  #holder(): string | undefined {
    try {
      return readFileSync(this.#path, 'utf8');
    } catch {
      return undefined;
    }
  }
}

function isRunning(holder: string): boolean {
  const [id, host] = holder.split(' ');
  const pid = Number(id);
  // Of another computer that shares the folder nothing is known.
  if (host !== undefined && host !== hostname()) return true;
  if (!Number.isSafeInteger(pid) || pid < 1) return false;
  // A process that opens an index twice for writing would damage it as well as another one.
  return isProcessAlive(pid);
}
