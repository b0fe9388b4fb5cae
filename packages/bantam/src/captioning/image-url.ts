import sharp from 'sharp';
import type { CaptionImage } from './captioner.js';

/**
 * An image as a data URL that vision endpoints take: the file unchanged where it is an upright JPEG
 * or PNG without transparency, of at most `size` pixels on its longer side; else the pixels that
 * training sees, shrunk to it, as JPEG of quality 90.
 */
export async function imageUrl({ pixels, file }: CaptionImage, size: number): Promise<string> {
  const { width, height, data } = pixels;
  if (file !== undefined && Math.max(width, height) <= size) {
    const kind = await plainKind(file);
    if (kind !== undefined) return dataUrl(kind, file);
  }
  const jpeg = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize(size, size, { fit: 'inside', withoutEnlargement: true })
    .jpeg({ quality: 90 })
    .toBuffer();
  return dataUrl('jpeg', jpeg);
}

/** The format of a file that every endpoint reads as training does. */
async function plainKind(file: Uint8Array): Promise<'jpeg' | 'png' | undefined> {
  const { format, orientation = 1, hasAlpha, space, pages = 1 } = await sharp(file).metadata();
  if (format !== 'jpeg' && format !== 'png') return undefined;
  const isPlain = orientation === 1 && !hasAlpha && pages === 1;
  return isPlain && (space === 'srgb' || space === 'b-w') ? format : undefined;
}

function dataUrl(kind: string, bytes: Uint8Array): string {
  return `data:image/${kind};base64,${Buffer.from(bytes).toString('base64')}`;
}
