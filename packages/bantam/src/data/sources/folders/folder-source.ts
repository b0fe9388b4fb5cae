import { join, sep } from 'node:path';
import { BantamError } from '../../../base/errors.js';
import { className, folderTemplates, promptsOf } from '../captions.js';
import { FileSource, type FileItem } from './file-source.js';
import { folderIdentity, listFolder, noteOtherFiles } from './folder-files.js';
import { describeNote, NoteBook } from '../notes.js';
import { checkQuery, type SourceSpec } from '../spec.js';
import type { Source } from '../source.js';

/**
 * Opens a folder with one folder of images per class: `folder:dir`. The name of the inner folder,
 * with `_` and `-` read as spaces, is the class; captions are {@link folderTemplates} of it. Links
 * are followed. Images outside of class folders, or deeper, are left out with a note.
 */
export async function openFolder(spec: SourceSpec): Promise<Source> {
  checkQuery(spec, []);
  const { path } = spec;
  const notes = new NoteBook();
  const top = await listFolder(path, { kind: spec.kind, notes });
  const items: FileItem[] = [];
  const labels = new Map<string, string>();
  for (const folder of top.folders) {
    const label = className(folder);
    if (isAbove(await folderIdentity(join(path, folder)), await folderIdentity(path))) {
      notes.leftOut('link', 'to a folder that it is in', folder);
      continue;
    }
    const inner = await listFolder(join(path, folder), {
      kind: spec.kind,
      notes,
      within: folder,
    });
    noteOtherFiles(inner.others, folder, notes);
    for (const deeper of inner.folders) {
      notes.leftOut('folder', 'within a class folder', `${folder}/${deeper}`);
    }
    if (inner.images.length === 0) {
      notes.leftOut('class folder', 'without images', folder);
      continue;
    }
    const same = labels.get(label);
    if (same === undefined) labels.set(label, folder);
    else notes.info(`The folders "${same}" and "${folder}" are one class, "${label}".`);
    const captions = promptsOf(label);
    for (const file of inner.images) {
      const image = join(path, folder, file);
      items.push({ key: `${folder}/${file}`, path: image, captions, label, meta: {} });
    }
  }
  for (const file of top.images) notes.leftOut('image', 'outside of class folders', file);
  noteOtherFiles(top.others, '', notes);
  if (items.length === 0) {
    const found =
      top.folders.length === 0
        ? 'it holds no folders'
        : `none in ${top.folders.slice(0, 5).join(', ')}`;
    const other =
      top.folders.length === 0
        ? `images:${path} for images in any folders`
        : `"images:${path}?label=folder" for class folders at any depth`;
    const why = notes.notes.map((note) => ` ${describeNote(note)}`);
    throw new BantamError(
      `The folder "${path}" has no images in folders named by class (${found}); make it DIR/CLASS/IMAGE.jpg, or use ${other}.${why.join('')}`,
    );
  }
  return new FileSource(spec.text, items, { templates: folderTemplates, notes: notes.notes });
}

/** A folder is another one or above it. */
function isAbove(folder: string, other: string): boolean {
  return other === folder || other.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}
