/** Small images of noise with captions, for recipes whose data do not matter. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { CounterRng } from 'bantam/experimental';

const words = ['red', 'small', 'old', 'round', 'wooden', 'blue', 'soft', 'tall', 'bright', 'dark'];

/**
 * Writes images and a table of them, unless they are there; gives the table's specification.
 *
 * @param {string} folder
 * @param {{ count: number, size: number }} options
 * @returns {Promise<string>}
 */
export async function noiseImages(folder, { count, size }) {
  const table = join(folder, 'pairs.csv');
  if (existsSync(table)) return `csv:${table}`;
  mkdirSync(folder, { recursive: true });
  const rows = ['image,caption'];
  for (let index = 0; index < count; index++) {
    const random = new CounterRng({ seed: 0, purpose: 'noise', epoch: 0, index });
    const pixels = Uint8Array.from({ length: size * size * 3 }, () => random.integer(256));
    const raw = { width: size, height: size, channels: 3 };
    await sharp(pixels, { raw })
      .png()
      .toFile(join(folder, `${index}.png`));
    const [first, second] = random.shuffle([...words]);
    rows.push(`${index}.png,a ${first} and ${second} thing`);
  }
  writeFileSync(table, `${rows.join('\n')}\n`);
  return `csv:${table}`;
}
