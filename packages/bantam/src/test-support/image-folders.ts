import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

const colours = { red: '#d22', green: '#2a2', blue: '#22d', yellow: '#dd2' } as const;

/** Writes `count` small images of each colour into one folder per class. */
export async function writeImages(folder: string, count: number): Promise<void> {
  for (const [name, background] of Object.entries(colours)) {
    mkdirSync(join(folder, name), { recursive: true });
    for (let i = 0; i < count; i++) {
      const size = 20 + 2 * i;
      const image = sharp({ create: { width: size, height: size, channels: 3, background } });
      await image.png().toFile(join(folder, name, `${i}.png`));
    }
  }
}
