import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join, parse } from 'node:path';
import { BantamError } from '../../../base/errors.js';
import { causeOf } from '../../../base/system-error.js';
import type { NoteBook } from '../notes.js';

const imageFile = /\.(jpe?g|jfif|jpe|png|webp|gif|tiff?|avif|svg)$/i;
/** Formats of images that cannot be decoded, unless the file holds another format. */
const foreignImageFile = /\.(heic|heif|bmp|dng|cr2|nef|arw|psd|jp2|jxl|ico|tga|exr)$/i;

/** Folders that systems and programs leave beside the data. */
const systemFolders: readonly string[] = [
  ...['__MACOSX', '@eaDir', '#recycle', '$RECYCLE.BIN', 'System Volume Information', 'lost+found'],
];
const systemFiles: readonly string[] = ['Thumbs.db', 'desktop.ini'];

/** Contents of a folder, sorted by name; links are followed. */
export interface FolderEntries {
  readonly folders: readonly string[];
  /** Files that can be decoded as images, by their names or their first bytes. */
  readonly images: readonly string[];
  /** The other files, but those of the system. */
  readonly others: readonly string[];
}

/** Options of {@link listFolder}. */
export interface ListFolderOptions {
  readonly kind: string;
  readonly notes: NoteBook;
  /** Path within the folder that was named; absent for that folder itself. */
  readonly within?: string;
}

/**
 * Lists a folder. Hidden entries, resource forks (`._…`) and the folders of systems are left out with
 * a note, as are image files of formats that cannot be decoded, links that lead nowhere, names in other
 * encodings than UTF-8, and pipes and the like, whose reading would wait for ever. A folder within the named
 * one that cannot be read is left out as a whole.
 *
 * @throws BantamError if the named folder cannot be read.
 */
export async function listFolder(
  folder: string,
  { kind, notes, within }: ListFolderOptions,
): Promise<FolderEntries> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (within === undefined) {
      throw new BantamError(
        `The folder "${folder}" cannot be read (${causeOf(error)}); name an existing one after "${kind}:".`,
      );
    }
    notes.leftOut('folder', `that cannot be read (${causeOf(error)})`, within);
    return [];
  });
  const folders: string[] = [];
  const images: string[] = [];
  const others: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const { name } = entry;
    const path = join(folder, name);
    const linked = entry.isSymbolicLink() ? await stat(path).catch(() => undefined) : entry;
    if (name.startsWith('.') || systemFolders.includes(name) || systemFiles.includes(name)) {
      notes.leftOut(`hidden or system ${linked?.isDirectory() ? 'folder' : 'file'}`, '', name);
    } else if (linked === undefined) {
      notes.leftOut('link without a target', '', name);
    } else if (name.includes('\ufffd') && !existsSync(path)) {
      const thing = linked.isDirectory() ? 'folder' : 'file';
      notes.leftOut(`${thing} with a name that is not in UTF-8`, '(rename it)', name);
    } else if (linked.isDirectory()) {
      folders.push(name);
    } else if (!linked.isFile()) {
      notes.leftOut('pipe or device', '', name);
    } else if (imageFile.test(name) || (foreignImageFile.test(name) && hasKnownFormat(path))) {
      images.push(name);
    } else if (foreignImageFile.test(name)) {
      const format = parse(name).ext.toLowerCase();
      notes.leftOut(
        `${format} file`,
        'in a format that cannot be decoded (convert it to JPEG or PNG)',
        name,
      );
    } else {
      others.push(name);
    }
  }
  return { folders, images, others };
}

/** The identity of a folder, so that links cannot lead in circles. */
export function folderIdentity(path: string): Promise<string> {
  return realpath(path);
}

/** Notes files without an image's name. */
export function noteOtherFiles(files: readonly string[], folder: string, notes: NoteBook): void {
  for (const file of files) {
    const { ext } = parse(file);
    // Any text after the last dot would make a note of its own each.
    const isExtension = /^\.[a-z]\w{0,9}$/i.test(ext);
    const kind =
      ext === ''
        ? 'file without an extension'
        : isExtension
          ? `${ext.toLowerCase()} file`
          : 'other file';
    notes.leftOut(kind, '', join(folder, file));
  }
}

/** Phones name JPEG files .heic now and then; the first bytes tell. */
function hasKnownFormat(path: string): boolean {
  const start = Buffer.alloc(12);
  try {
    const file = openSync(path, 'r');
    try {
      readSync(file, start, 0, 12, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
  const text = start.toString('latin1');
  return (
    text.startsWith('\xff\xd8\xff') ||
    text.startsWith('\x89PNG\r\n\x1a\n') ||
    text.startsWith('GIF8') ||
    (text.startsWith('RIFF') && text.endsWith('WEBP')) ||
    text.slice(4) === 'ftypavif'
  );
}
