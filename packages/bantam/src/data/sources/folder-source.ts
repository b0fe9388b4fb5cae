import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { FileSource, type FileItem } from './file-source.js';
import { checkQuery, type SourceSpec } from './spec.js';
import type { Source } from './source.js';

const imageFile = /\.(jpe?g|png|webp|gif|tiff?|avif|svg|bmp)$/i;

/** Prompts for photographs of a class, plainest first. */
export const folderTemplates: readonly string[] = [
  'a photo of a {}.',
  'a picture of a {}.',
  'an image of a {}.',
  '{}',
];

/**
 * Opens a folder with one folder of images per class: `folder:dir`. The name of the inner folder,
 * with `_` and `-` read as spaces, is the class; captions are {@link folderTemplates} of it.
 */
export async function openFolder(spec: SourceSpec): Promise<Source> {
  checkQuery(spec, []);
  const names = await readdir(spec.path, { withFileTypes: true }).catch((error: unknown) => {
    throw new BantamError(
      `The folder "${spec.path}" cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'}); name an existing one after "folder:".`,
    );
  });
  const items: FileItem[] = [];
  const folders = names.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  for (const folder of folders.sort()) {
    const label = folder.replaceAll(/[_-]+/g, ' ');
    const captions = folderTemplates.map((template) => template.replace('{}', label));
    for (const file of (await readdir(join(spec.path, folder))).sort()) {
      if (!imageFile.test(file)) continue;
      items.push({
        key: `${folder}/${file}`,
        path: join(spec.path, folder, file),
        captions,
        label,
        meta: {},
      });
    }
  }
  if (items.length === 0) {
    const found =
      folders.length === 0 ? 'it holds no folders' : `none in ${folders.slice(0, 5).join(', ')}`;
    throw new BantamError(
      `The folder "${spec.path}" has no images in folders named by class (${found}); make it DIR/CLASS/PICTURE.jpg.`,
    );
  }
  return new FileSource(spec.text, items, { templates: folderTemplates });
}
