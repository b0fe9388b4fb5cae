/**
 * What is fuzzed. A target's `run` takes one input and may throw what `allowed` says, nothing else; it must
 * not crash, and its time and memory are bounded.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { fromTypedArray, loadSafetensors, saveSafetensors, scope, TorchError } from '@bantam/torch';
import { decodeJpeg, resampleForms, resampleRgb } from '@bantam/torch/image';
import { decodeImage, openSource } from '../../dist/data/index.js';
import { BantamError } from '../../dist/base/errors.js';
import { openWeights } from '../../dist/models/index.js';
import { loadTokenizer } from '../../dist/text/index.js';
import { callOperator, fittingCalls } from './operators.js';
import {
  mutateArchive,
  mutateBytes,
  mutateJson,
  mutateSafetensors,
  mutateTar,
  type Mutation,
} from './mutate.js';

type ErrorClass = abstract new (...args: never[]) => Error;

export interface FuzzTarget {
  readonly name: string;
  /** Whole inputs that mutations begin with. */
  readonly seeds: (folder: string) => Promise<Buffer[]>;
  readonly mutate: Mutation;
  /** Reads one input; `folder` is for its files. */
  readonly run: (input: Buffer, folder: string) => unknown;
  /** The errors that broken input may end in. */
  readonly allowed: readonly ErrorClass[];
}

const fixture = (path: string): string =>
  fileURLToPath(new URL(`../../fixtures/${path}`, import.meta.url));

const fixtures = (...paths: string[]): Promise<Buffer[]> =>
  Promise.all(paths.map((path) => readFile(fixture(path))));

/** A refusal by return value. */
class Refused extends Error {}

/** A small image in several formats and shapes. */
async function images(format: 'jpeg' | 'others'): Promise<Buffer[]> {
  const pixels = Buffer.from(Array.from({ length: 40 * 30 * 3 }, (_, i) => (i * i) % 251));
  const image = (): Sharp => sharp(pixels, { raw: { width: 40, height: 30, channels: 3 } });
  const made =
    format === 'jpeg'
      ? [
          image().jpeg(),
          image().jpeg({ progressive: true }),
          image().greyscale().jpeg({ quality: 30 }),
          image().jpeg({ chromaSubsampling: '4:4:4' }).withMetadata({ orientation: 1 }),
        ]
      : [
          image().png(),
          image().greyscale().png({ progressive: true }),
          image().ensureAlpha(0.5).webp({ lossless: true }),
          image().webp(),
          image().gif(),
          image().jpeg(),
          image().tiff({ compression: 'lzw' }),
        ];
  return Promise.all(made.map((each) => each.toBuffer()));
}

/** Reads records and the bytes of their images, the first hundred. */
async function readSource(spec: string, cacheDir: string): Promise<void> {
  const source = await openSource(spec, { cacheDir });
  for (let i = 0; i < Math.min(source.size, 100); i++) {
    source.record(i);
    source.location(i);
  }
}

export const targets: readonly FuzzTarget[] = [
  {
    name: 'jpeg',
    seeds: () => images('jpeg'),
    mutate: mutateBytes,
    run: (input) => {
      const images = [0, 8].map((shortestSide) => decodeJpeg(input, { shortestSide }));
      for (const image of images) {
        if (image === undefined) throw new Refused();
        if (image.data.length !== image.width * image.height * 3) {
          throw new Error('The image has another size than its pixels.');
        }
      }
    },
    allowed: [Refused],
  },
  {
    name: 'image',
    seeds: () => images('others'),
    mutate: mutateBytes,
    run: (input) => decodeImage(input, { shortestSide: 8 }),
    allowed: [BantamError],
  },
  {
    name: 'resize',
    // Sides of the image, the box and the result as 32-bit numbers, then how it is resized.
    seeds: () =>
      Promise.resolve(
        [
          [8, 8, 0, 0, 8, 8, 4, 4, 0, 0, 0],
          [30, 20, 3, 2, 17, 11, 40, 60, 1, 1, 1],
          [301, 7, 0, 0, 301, 7, 1, 7, 1, 0, 2],
          [1, 500, 0, 100, 1, 400, 33, 1, 0, 1, 2],
        ].map((numbers) => Buffer.from(Int32Array.from(numbers).buffer)),
      ),
    mutate: mutateBytes,
    run: resize,
    allowed: [RangeError, Refused],
  },
  {
    name: 'tar',
    seeds: () => fixtures('data/shard-gnu.tar', 'data/shard-pax.tar', 'data/shard-ustar.tar'),
    mutate: mutateTar,
    run: async (input, folder) => {
      const path = join(folder, 'shard.tar');
      await writeFile(path, input);
      await readSource(`wds:${path}`, folder);
    },
    allowed: [BantamError],
  },
  {
    name: 'csv',
    seeds: () =>
      Promise.resolve(
        [
          'image,caption,extra\na.jpg,"a ""red"" kite, flying",1\nb.jpg,"two\nlines",\n',
          '\ufefffilepath,title\r\na.jpg,"[""one"", ""two""]"\r\na.jpg,three\r\n',
          'file_name,text,label\na/b.png,ein Wort,x\n\n"c,d.png",日本語,"y"',
        ].map((text) => Buffer.from(text)),
      ),
    mutate: mutateBytes,
    run: async (input, folder) => {
      const path = join(folder, 'table.csv');
      await writeFile(path, input);
      await readSource(`csv:${path}`, folder);
    },
    allowed: [BantamError],
  },
  {
    name: 'safetensors',
    seeds: async (folder) => {
      const path = join(folder, 'seed.safetensors');
      scope(() => {
        const tensors = [
          ['weight', fromTypedArray(Float32Array.of(1, 2, 3, 4, 5, 6), { shape: [2, 3] })],
          ['bias', fromTypedArray(BigInt64Array.of(7n))],
          ['empty', fromTypedArray(new Uint8Array(0), { shape: [0, 4] })],
          ['half', fromTypedArray(Uint16Array.of(1, 2), { dtype: 'bfloat16' })],
        ] as const;
        saveSafetensors(path, new Map(tensors), { metadata: { format: 'pt' } });
      });
      return [await readFile(path)];
    },
    mutate: mutateSafetensors,
    run: async (input, folder) => {
      const path = join(folder, 'weights.safetensors');
      await writeFile(path, input);
      scope(() => {
        for (const tensor of loadSafetensors(path).tensors.values()) tensor.toTypedArray();
      });
    },
    allowed: [TorchError],
  },
  {
    name: 'pickle',
    seeds: () =>
      fixtures(
        'pickles/zip.pt',
        'pickles/legacy.pt',
        'pickles/script.pt',
        'pickles/deflated.pt',
        'pickles/checkpoint.ckpt',
        'pickles/averaged.pt',
        'pickles/code.pt',
      ),
    mutate: mutateArchive,
    run: async (input, folder) => {
      const path = join(folder, 'weights.pt');
      await writeFile(path, input);
      scope(() => {
        for (const tensor of openWeights([path]).read().values()) tensor.toTypedArray();
      });
    },
    allowed: [BantamError],
  },
  {
    name: 'tokenizer',
    seeds: () =>
      fixtures(
        'text/kinds/gpt2/tokenizer.json',
        'text/kinds/wordpiece/tokenizer.json',
        'text/kinds/whitespace/tokenizer.json',
        'text/kinds/unigram/tokenizer.json',
        'text/trained/tokenizer.json',
      ),
    mutate: mutateJson,
    run: async (input, folder) => {
      const path = join(folder, 'tokenizer.json');
      await writeFile(path, input);
      const tokenizer = await loadTokenizer(path);
      const { ids } = tokenizer.encodeBatch(['a photo of a cat', '', "it's 1234 ünïcödé 日本 😀"]);
      tokenizer.decode(ids);
    },
    allowed: [BantamError],
  },
  {
    name: 'sentencepiece',
    seeds: async () => {
      const packed = await fixtures(
        'text/sentencepiece/unigram-bare.model.gz',
        'text/sentencepiece/bpe-bytes.model.gz',
        'text/sentencepiece/unigram-cf-bytes.model.gz',
      );
      return packed.map((bytes) => gunzipSync(bytes));
    },
    mutate: mutateBytes,
    run: async (input, folder) => {
      const path = join(folder, 'spiece.model');
      await writeFile(path, input);
      const tokenizer = await loadTokenizer(path);
      const { ids } = tokenizer.encodeBatch(['a photo of a cat', '', "it's 1234 ünïcödé 日本 😀"]);
      tokenizer.decode(ids);
    },
    allowed: [BantamError],
  },
  {
    name: 'operators',
    seeds: () =>
      Promise.resolve([
        ...fittingCalls(),
        ...Array.from({ length: 52 }, (_, i) =>
          Buffer.from([
            i,
            2,
            9,
            ...Array.from({ length: 61 }, (_, j) => (i * 89 + j * j * 53) & 255),
          ]),
        ),
      ]),
    mutate: mutateBytes,
    run: callOperator,
    // libtorch's errors are Errors of no kind of their own.
    allowed: [Error],
  },
];

/** Resizes an image that the input describes, with every form of the loops, whose bytes must agree. */
function resize(input: Buffer): void {
  const number = (i: number): number => (i * 4 + 4 <= input.length ? input.readInt32LE(i * 4) : 1);
  const [imageWidth, imageHeight, width, height] = [0, 1, 6, 7].map(number) as [
    number,
    number,
    number,
    number,
  ];
  // An image has the pixels that it says, up to what a test should take.
  const pixels = imageWidth * imageHeight;
  const data = new Uint8Array(pixels > 0 && pixels < 1e6 ? pixels * 3 : 12).fill(number(9) & 255);
  const room = width * height;
  const target = (): Uint8Array => new Uint8Array(room > 0 && room < 1e6 ? room * 3 : 12);
  const options = {
    ...{ width, height },
    box: { left: number(2), top: number(3), width: number(4), height: number(5) },
    interpolation: number(8) % 2 === 0 ? 'bicubic' : 'bilinear',
    antialias: number(10) % 2 === 0,
  } as const;
  // Time and memory grow with the box's height times the result's width, which the caller chooses.
  if (options.box.height > 0 && width > 0 && options.box.height * width > 2 ** 24) {
    throw new Refused();
  }
  const image = { width: imageWidth, height: imageHeight, data };
  const results = resampleForms.map((form) =>
    Buffer.from(resampleRgb(image, { ...options, target: target(), form })),
  );
  if (results.some((result) => !results[0]?.equals(result))) {
    throw new Error('Two forms of the loops give other bytes.');
  }
}
