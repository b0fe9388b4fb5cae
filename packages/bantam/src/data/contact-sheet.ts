import { dirname } from 'node:path';
import sharp, { type OverlayOptions } from 'sharp';
import { makeFolder } from '../base/make-folder.js';
import { augmentImage } from './augment/augment.js';
import { resolveAugment, type ImageAugment } from './augment/schema.js';
import { decodeLocation } from './images/decode.js';
import { CounterRng } from './counter-rng.js';
import type { Source } from './sources/source.js';

export interface ContactSheetOptions {
  /** PNG file to write. */
  readonly path: string;
  /** Images; evenly spaced over the source. 96 by default. */
  readonly count?: number;
  /** Images in a row; 12 by default. */
  readonly columns?: number;
  /** Side length of an image's square in pixels; 72 by default. */
  readonly cell?: number;
  /** Shows each image as the first epoch of training with seed 0 has it, at `cell` pixels. */
  readonly augment?: ImageAugment;
}

/** Indices of `count` records, evenly spaced over a source of `size`. */
export function evenlySpaced(size: number, count: number): number[] {
  const taken = Math.min(size, count);
  return Array.from({ length: taken }, (_, i) => Math.floor(((i + 0.5) * size) / taken));
}

/** Writes a PNG with a grid of a source's images, whole, on cards. Broken ones stay blank. */
export async function contactSheet(
  source: Source,
  { path, count = 96, columns = 12, cell = 72, augment }: ContactSheetOptions,
): Promise<void> {
  const indices = evenlySpaced(source.size, count);
  const across = Math.min(columns, indices.length);
  const gap = Math.round(cell / 8);
  const card = cell + gap;
  const pitch = card + gap;
  const cards = await Promise.all(
    indices.map(async (index, slot): Promise<OverlayOptions> => {
      const left = gap + (slot % across) * pitch;
      const top = gap + Math.floor(slot / across) * pitch;
      return { input: await thumbnail(source, index, { cell, card, augment }), left, top };
    }),
  );
  makeFolder(dirname(path));
  await sharp({
    create: {
      width: across * pitch + gap,
      height: Math.ceil(indices.length / across) * pitch + gap,
      channels: 3,
      background: '#e8eaed',
    },
  })
    .composite(cards)
    .png()
    .toFile(path);
}

/** An image on a white card with round corners. */
async function thumbnail(
  source: Source,
  index: number,
  { cell, card, augment }: { cell: number; card: number; augment: ImageAugment | undefined },
): Promise<Buffer> {
  const corner = Math.round(card / 10);
  const paper = Buffer.from(
    `<svg width="${card}" height="${card}"><rect width="${card}" height="${card}" rx="${corner}" fill="#fff"/></svg>`,
  );
  const decoded = await decodeLocation(source.location(index)).catch(() => undefined);
  const rng = new CounterRng({ seed: 0, purpose: 'augment/image', epoch: 0, index });
  const image =
    decoded && augment
      ? augmentImage(decoded, resolveAugment(augment), { size: cell, rng })
      : decoded;
  if (image === undefined) return sharp(paper).png().toBuffer();
  const { width, height, data } = image;
  const margin = Math.floor((card - cell) / 2);
  const fitted = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize(cell, cell, { fit: 'contain', background: '#fff' })
    .png()
    .toBuffer();
  return sharp(paper)
    .composite([{ input: fitted, left: margin, top: margin }])
    .png()
    .toBuffer();
}
