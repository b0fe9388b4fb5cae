import { at } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { evalBatches, Quarantine, type Source } from '../../data/index.js';
import type { EncodePixelsInput } from '../../eval/index.js';
import type { Preprocess } from '../../models/index.js';

/** Images and texts on which graphs are compared with the model. */
export interface CheckSamples {
  readonly pixels: EncodePixelsInput;
  readonly texts: readonly string[];
}

/** Images and texts of a check. */
const COUNT = 16;

/** Images and first captions, or class names, of the first records of a source. */
export async function samplesOf(source: Source, preprocess: Preprocess): Promise<CheckSamples> {
  const quarantine = new Quarantine({ maxFraction: 1 });
  for await (const batch of evalBatches(source, { preprocess, batchSize: COUNT, quarantine })) {
    const { images, size, height, width, records } = batch;
    const captions = records.flatMap((record) => record.captions.slice(0, 1));
    const classes = Object.values(source.labelSets).flatMap((labels) => labels.classes);
    return {
      pixels: { pixels: Uint8Array.from(images), shape: [size, height, width, 3] },
      texts: [...new Set([...captions, ...classes, ...madeTexts])].slice(0, COUNT),
    };
  }
  throw new BantamError(`No image of "${source.spec}" can be read; check the files.`);
}

const madeTexts = [
  'a photo of a cat',
  'two dogs running on a beach at sunset',
  'red',
  'a bowl of oranges on a wooden table, seen from above',
  'an oil painting of a lighthouse in a storm',
  '12 eggs, 6 of them broken!',
  'the word "hello" written in chalk',
  'a street at night with wet asphalt, neon signs, umbrellas, taxis, a queue in front of a small theatre, and in the distance a bridge whose lights are mirrored by the river below it',
];

/** Images of waves of colors, and texts of all lengths, for a check without data. */
export function madeSamples({ size }: Preprocess): CheckSamples {
  const pixels = new Uint8Array(COUNT * size * size * 3);
  for (let i = 0; i < pixels.length; i++) {
    const channel = i % 3;
    const column = Math.floor(i / 3) % size;
    const row = Math.floor(i / 3 / size) % size;
    const image = Math.floor(i / 3 / size / size);
    pixels[i] = wave(image, channel, row / size, column / size);
  }
  return { pixels: { pixels, shape: [COUNT, size, size, 3] }, texts: madeTexts };
}

/** A color between 0 and 255 at a location of an image: a sum of a slow and a fast wave. */
function wave(image: number, channel: number, y: number, x: number): number {
  const turn = 0.7 * image + 2.1 * channel;
  const slow = Math.sin(2 * Math.PI * (x * (1 + (image % 3)) + y * (1 + (image % 4))) + turn);
  const fast = Math.sin(40 * (x * Math.cos(image) + y * Math.sin(image)) + 3 * turn);
  return Math.round(127.5 + 80 * slow + 47 * fast * at([1, 0.5, 0], image % 3));
}
