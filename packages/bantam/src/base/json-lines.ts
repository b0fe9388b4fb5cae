import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { writeFileAtomic } from '@bantam/torch';

/** Adds a value to a file that holds one in each line. */
export function appendJsonLine(path: string, value: object): void {
  appendFileSync(path, `${JSON.stringify(value)}\n`);
}

/** The values of such a file; a last line that a crash cut off is left out. No file: none. */
export function readJsonLines<T extends object>(path: string): T[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as T];
      } catch {
        return [];
      }
    });
}

/** Leaves only some of its values in such a file, and returns them. */
export function keepJsonLines<T extends object>(path: string, keeps: (value: T) => boolean): T[] {
  const kept = readJsonLines<T>(path).filter(keeps);
  const text = kept.map((value) => `${JSON.stringify(value)}\n`).join('');
  if (existsSync(path)) writeFileAtomic(path, [Buffer.from(text)]);
  return kept;
}
