import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';

const colours = { red: '#d22', green: '#2b2', blue: '#22d', yellow: '#dc2' };
const shapes = {
  circle: (r: number) => `<circle r="${r}"/>`,
  bar: (r: number) => `<rect x="${-r}" y="-5" width="${2 * r}" height="10"/>`,
  pillar: (r: number) => `<rect x="-5" y="${-r}" width="10" height="${2 * r}"/>`,
};

/** Makes an empty folder for a test. */
export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'bantam-test-'));
}

/**
 * CounterRng coloured shapes of 64 pixels into `folder`: one folder per class such as `red circle`, and
 * `pairs.csv` with the captions. Sizes and positions differ from image to image and from one
 * `variant` to another.
 */
export async function drawShapes(
  folder: string,
  { each, variant = 0 }: { each: number; variant?: number },
): Promise<void> {
  const rows = ['image,caption'];
  for (const [colour, fill] of Object.entries(colours)) {
    for (const [shape, draw] of Object.entries(shapes)) {
      const name = `${colour} ${shape}`;
      await mkdir(join(folder, name), { recursive: true });
      for (let i = 0; i < each; i++) {
        const [radius, dx, dy] = [13, 7, 11].map((step) => ((i + 1) * step + variant * 5) % 9);
        const x = 28 + (dx ?? 0);
        const y = 28 + (dy ?? 0);
        const svg = `<svg width="64" height="64" viewBox="0 0 64 64"><rect width="64" height="64" fill="#fff"/><g fill="${fill}" transform="translate(${x},${y})">${draw(15 + (radius ?? 0))}</g></svg>`;
        await sharp(Buffer.from(svg))
          .png()
          .toFile(join(folder, name, `${i}.png`));
        rows.push(`${name}/${i}.png,a ${name}`);
      }
    }
  }
  await writeFile(join(folder, 'pairs.csv'), `${rows.join('\n')}\n`);
}

/** Arguments that train a model which learns these shapes in seconds. */
export const tinyModel: readonly string[] = [
  '--model=ViT-Pico-8-64',
  '--precision=fp32',
  ...[
    'model.embedDim=64',
    'model.vision.patchSize=16',
    'model.vision.layers=2',
    'model.vision.width=64',
    'model.vision.headWidth=32',
    'model.text.layers=1',
    'model.text.width=64',
    'tokenizer.vocabSize=560',
    'tokenizer.contextLength=16',
    'train.batchSize=24',
    'train.lr=2e-3',
    'train.workers=0',
  ].flatMap((setting) => ['--set', setting]),
];
