import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { BantamError } from '../../../base/errors.js';

const causes: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file; check the path',
  EACCES: 'it may not be read; change its permissions',
  EISDIR: 'it is a folder; name the file in it',
};

/** A file that is read at any offset. */
export interface RandomAccessFile extends Disposable {
  readonly path: string;
  /** Its size. */
  readonly bytes: number;
  /** @throws BantamError if the file ends before. */
  read(offset: number, count: number): Buffer;
}

/** @throws BantamError if the file cannot be read. */
export function openFile(path: string): RandomAccessFile {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const status = fstatSync(file);
    if (!status.isFile()) throw Object.assign(new Error('no file'), { code: 'EISDIR' });
    return reader(path, file, status.size);
  } catch (error) {
    if (file !== undefined) closeSync(file);
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new BantamError(`${path} could not be read: ${causes[code] ?? message}.`);
  }
}

function reader(path: string, file: number, bytes: number): RandomAccessFile {
  return {
    path,
    bytes,
    read(offset, count) {
      if (offset < 0 || count > bytes - offset) {
        throw new BantamError(`${path} is cut short; fetch or save it again.`);
      }
      const buffer = Buffer.alloc(count);
      for (let done = 0; done < count;) {
        const now = readSync(file, buffer, done, count - done, offset + done);
        if (now === 0) throw new BantamError(`${path} is cut short; fetch or save it again.`);
        done += now;
      }
      return buffer;
    },
    [Symbol.dispose]() {
      closeSync(file);
    },
  };
}
