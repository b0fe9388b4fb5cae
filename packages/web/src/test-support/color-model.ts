import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  modelConfig,
  openSource,
  embedSource,
  disposeEmbeddings,
  loadForInference,
  saveEmbeddings,
  train,
} from 'bantam';
import sharp from 'sharp';

/** A class of images for each, by a plain color: its red, green and blue. */
const colors = {
  red: [215, 25, 30],
  green: [20, 150, 40],
  blue: [25, 60, 210],
  yellow: [235, 215, 20],
  white: [245, 245, 245],
  black: [15, 15, 15],
} as const;

export type Color = keyof typeof colors;
export const colorNames: readonly string[] = Object.keys(colors);

/** A file of an image of nearly that color, larger than the model's and not square. */
export function colorImage(color: Color, shade: number): Promise<Buffer> {
  const [r, g, b] = colors[color].map((level) => Math.max(0, Math.min(255, level + shade)));
  const background = { r: r ?? 0, g: g ?? 0, b: b ?? 0 };
  return sharp({ create: { width: 61, height: 45, channels: 3, background } })
    .png()
    .toBuffer();
}

/** Files of a model that knows six colors, in a folder. */
export interface ColorModel {
  /** Model directory. */
  readonly model: string;
  /** Embedding file of the images. */
  readonly index: string;
  /** Data set of the images. */
  readonly data: string;
}

/** Trains a model on images of six colors in a few seconds, and embeds the images. */
export async function makeColorModel(folder: string): Promise<ColorModel> {
  const images = join(folder, 'images');
  for (const color of Object.keys(colors) as Color[]) {
    mkdirSync(join(images, color), { recursive: true });
    for (const shade of [-24, -12, 0, 8]) {
      writeFileSync(join(images, color, `${shade + 50}.png`), await colorImage(color, shade));
    }
  }
  const data = `folder:${images}`;
  const run = join(folder, 'run');
  await train({
    model: modelConfig('ViT-Pico-8-64', {
      embedDim: 16,
      vision: { imageSize: 16, patchSize: 8, width: 32, headWidth: 8, layers: 2 },
      text: { width: 32, heads: 2, layers: 1 },
    }),
    data,
    out: run,
    budget: '1200samples',
    train: { batchSize: 12, workers: 0, precision: 'fp32', lr: 3e-3 },
    tokenizer: { vocabSize: 600, contextLength: 16 },
  });
  const model = join(run, 'model');
  const index = join(folder, 'index.safetensors');
  const { loaded } = await loadForInference(model);
  const embedded = await embedSource(loaded, await openSource(data));
  saveEmbeddings(index, embedded, { spec: data, model });
  disposeEmbeddings(embedded);
  return { model, index, data };
}
