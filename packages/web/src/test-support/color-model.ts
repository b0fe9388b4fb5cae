import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createModel,
  embedToFile,
  loadForInference,
  modelConfig,
  openSource,
  saveModel,
  train,
  trainTokenizer,
} from 'bantam';
import { preprocessFor, withChanges } from 'bantam/experimental';
import { RandomStreams } from '@bantam/torch';
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
const colorNames: readonly string[] = Object.keys(colors);

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

const config = modelConfig('ViT-Pico-8-64', {
  embedDim: 16,
  vision: { imageSize: 16, patchSize: 8, width: 32, headWidth: 8, layers: 2 },
  text: { width: 32, heads: 2, layers: 1 },
});
const vocabulary = { vocabSize: 600, contextLength: 16 };

async function writeImages(folder: string): Promise<string> {
  const images = join(folder, 'images');
  for (const color of Object.keys(colors) as Color[]) {
    mkdirSync(join(images, color), { recursive: true });
    for (const shade of [-24, -12, 0, 8]) {
      writeFileSync(join(images, color, `${shade + 50}.png`), await colorImage(color, shade));
    }
  }
  return `folder:${images}`;
}

async function embedImages(folder: string, model: string, data: string): Promise<ColorModel> {
  const index = join(folder, 'index.safetensors');
  await embedToFile(await loadForInference(model), await openSource(data), index);
  return { model, index, data };
}

/** Trains a model on images of six colors in a few seconds, and embeds the images. */
export async function makeColorModel(folder: string): Promise<ColorModel> {
  const data = await writeImages(folder);
  const run = join(folder, 'run');
  await train({
    model: config,
    data,
    out: run,
    budget: '1200samples',
    train: { batchSize: 12, workers: 0, precision: 'fp32', lr: 3e-3 },
    tokenizer: vocabulary,
  });
  return embedImages(folder, join(run, 'model'), data);
}

/** The same with random weights, for tests in which the model's answers do not matter. */
export async function makeUntrainedModel(folder: string): Promise<ColorModel> {
  const data = await writeImages(folder);
  const tokenizer = trainTokenizer(colorNames, vocabulary);
  const { vocabSize, contextLength } = tokenizer;
  const sized = withChanges(config, { text: { vocabSize, contextLength } });
  const generator = new RandomStreams({ seed: 5 }).get('init');
  using model = createModel(sized, { generator });
  const directory = join(folder, 'model');
  const preprocess = preprocessFor(sized.vision.imageSize);
  await saveModel(directory, { config: sized, model, tokenizer, preprocess });
  return await embedImages(folder, directory, data);
}
