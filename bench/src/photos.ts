import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { at } from '@bantam/torch/at';
import sharp from 'sharp';
import { readCaptions } from './captions.js';

/** Photographs that the repository has anyway, for tests of decoding. */
const originals = fileURLToPath(new URL('../../packages/bantam/fixtures/data', import.meta.url));
const names = ['astronaut.jpg', 'cat.jpg', 'coffee.jpg'];

/** Longer side of an image in pixels. */
const longerSide = 500;
const smallSide = 96;

/** A number from 0 to 1 for an image, even over the images: multiples of the golden ratio. */
function even(index: number, purpose: number): number {
  return (index * 0.6180339887 + purpose * 0.7548776662) % 1;
}

/** Result of {@link makePhotos}. */
export interface Photos {
  /** Columns `filepath` and `title`, separated by tabs, as OpenCLIP's loader has them by default. */
  readonly table: string;
  readonly bytes: number;
}

/**
 * Writes JPEG files of about 500 pixels: cuts of the photographs, each of its own location, size and
 * colours, with a caption each; always the same ones.
 */
export async function makePhotos(folder: string, count: number): Promise<Photos> {
  await mkdir(folder, { recursive: true });
  const sources = await Promise.all(names.map((name) => readFile(join(originals, name))));
  const captions = await readCaptions();
  const rows = ['filepath\ttitle'];
  let bytes = 0;
  for (let index = 0; index < count; index++) {
    const file = join(folder, `${String(index).padStart(6, '0')}.jpg`);
    const source = at(sources, index % sources.length);
    await writeFile(file, await vary(source, index, longerSide));
    bytes += (await stat(file)).size;
    rows.push(`${file}\t${at(captions, index % captions.length)}`);
  }
  const table = join(folder, 'pairs.tsv');
  await writeFile(table, `${rows.join('\n')}\n`);
  return { table, bytes };
}

/** Writes small JPEG files, one folder per photograph, as `folder:` sources have classes. */
export async function makeClassFolders(folder: string, count: number): Promise<void> {
  for (const [number, name] of names.entries()) {
    const source = await readFile(join(originals, name));
    const classFolder = join(folder, name.replace('.jpg', ''));
    await mkdir(classFolder, { recursive: true });
    for (let index = number; index < count; index += names.length) {
      await writeFile(join(classFolder, `${index}.jpg`), await vary(source, index, smallSide));
    }
  }
}

async function vary(source: Buffer, index: number, size: number): Promise<Buffer> {
  const { width, height } = await sharp(source).metadata();
  const scale = 0.75 + 0.25 * even(index, 1);
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  const left = Math.floor((width - w) * even(index, 2));
  const top = Math.floor((height - h) * even(index, 3));
  return sharp(source)
    .extract({ left, top, width: w, height: h })
    .flop(even(index, 4) < 0.5)
    .resize(size, size, { fit: 'inside' })
    .modulate({ hue: Math.round(360 * even(index, 5)), saturation: 0.7 + 0.6 * even(index, 6) })
    .sharpen()
    .jpeg({ quality: 92 })
    .toBuffer();
}
