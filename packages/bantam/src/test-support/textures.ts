import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

/**
 * Writes JPEG files of smooth colors that differ from place to place, from 120 × 90 pixels, and
 * `pairs.csv` with three captions of each; returns the specification.
 */
export async function writeTextures(folder: string, count: number): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const rows = ['image,caption'];
  for (let i = 0; i < count; i++) {
    const [width, height] = [120 + 3 * i, 90 + 7 * (i % 5)];
    const pixels = Buffer.alloc(width * height * 3);
    for (let at = 0; at < pixels.length; at++) {
      const [x, y] = [Math.floor(at / 3) % width, Math.floor(at / 3 / width)];
      const wave = Math.sin((x * (1 + (i % 3))) / 25 + i) + Math.cos((y * (1 + (at % 3))) / 20 - i);
      pixels[at] = 127 + 60 * wave;
    }
    const raw = { width, height, channels: 3 } as const;
    await sharp(pixels, { raw })
      .jpeg({ quality: 95 })
      .toFile(join(folder, `${i}.jpg`));
    const captions = ['one', 'two', 'three'].map((name) => `${name} of image ${i}`);
    rows.push(`${i}.jpg,"${JSON.stringify(captions).replaceAll('"', '""')}"`);
  }
  writeFileSync(join(folder, 'pairs.csv'), `${rows.join('\n')}\n`);
  return `csv:${join(folder, 'pairs.csv')}`;
}
