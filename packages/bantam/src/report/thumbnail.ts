import sharp from 'sharp';
import type { Source } from '../data/index.js';
import type { Thumbnail } from './report-data.js';

/** Longer side of images on a page, in pixels. */
const thumbnailSize = 96;

/** A record's image in small, as a part of a page, with its first caption. */
export async function thumbnailOf(source: Source, record: number): Promise<Thumbnail> {
  const image = sharp(await source.image(record), { pages: 1 })
    .autoOrient()
    .resize(thumbnailSize, thumbnailSize, { fit: 'inside', withoutEnlargement: true })
    .png({ palette: true, colours: 64, compressionLevel: 9 });
  const png = await image.toBuffer();
  const [alt = ''] = source.record(record).captions;
  return {
    alt,
    uri: `data:image/png;base64,${png.toString('base64')}`,
  };
}
