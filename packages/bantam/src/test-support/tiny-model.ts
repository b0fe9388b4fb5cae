import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RandomStreams } from '@bantam/torch';
import sharp from 'sharp';
import { createModel, parseModelConfig, preprocessFor, type LoadedModel } from '../models/index.js';
import type { Tokenizer } from '../text/index.js';

const context = 24;
const sotId = 97;
const eotId = 98;

/** One token a character: enough of a tokenizer to tell texts apart. */
function letterTokenizer(): Tokenizer & { batches: (readonly string[])[] } {
  const batches: (readonly string[])[] = [];
  const encode = (text: string): number[] => {
    const letters = Array.from(text, (letter) => (letter.codePointAt(0) ?? 0) % 96);
    return [sotId, ...letters.slice(0, context - 2), eotId];
  };
  return {
    batches,
    vocabSize: 99,
    contextLength: context,
    sotId,
    eotId,
    padId: 0,
    encode,
    encodeBatch(texts) {
      batches.push(texts);
      const rows = texts.map(encode);
      const columns = Math.max(...rows.map(({ length }) => length));
      const ids = new BigInt64Array(rows.length * columns);
      rows.forEach((row, at) => {
        ids.set(row.map(BigInt), at * columns);
      });
      return { ids, shape: [rows.length, columns] };
    },
    decode: (ids) => Array.from(ids, String).join(' '),
    save: () => Promise.reject(new Error('nothing to save')),
  };
}

/** A model with random weights, so small that a test hardly notices it. */
export function tinyModel(): LoadedModel & { tokenizer: ReturnType<typeof letterTokenizer> } {
  const tower = { width: 16, layers: 1 };
  const config = parseModelConfig({
    embedDim: 8,
    vision: { ...tower, imageSize: 16, patchSize: 8, headWidth: 8 },
    text: { ...tower, heads: 2, vocabSize: 99, contextLength: context },
  });
  const generator = new RandomStreams({ seed: 5 }).get('init');
  return {
    config,
    model: createModel(config, { generator }).eval(),
    tokenizer: letterTokenizer(),
    preprocess: preprocessFor(16),
    info: {},
  };
}

/** Writes plain images: `folder/class/0.png`, … for each color of each class. */
export async function writeImages(
  folder: string,
  classes: Readonly<Record<string, readonly string[]>>,
): Promise<void> {
  for (const [name, colors] of Object.entries(classes)) {
    mkdirSync(join(folder, name), { recursive: true });
    for (const [at, background] of colors.entries()) {
      const image = sharp({ create: { width: 20, height: 16, channels: 3, background } });
      writeFileSync(join(folder, name, `${at}.png`), await image.png().toBuffer());
    }
  }
}
