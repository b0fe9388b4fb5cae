/**
 * transformers.js in Chromium beside `@bantam/web`: pixels and features of the same photographs by
 * the same exported model:
 *
 *     npm install --no-save @huggingface/transformers
 *     node packages/web/dist/measure/transformers-js.js --exported DIR --data SPEC [--count 100]
 *
 * It takes about a minute for 100 photographs and a small model.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { openSource } from 'bantam';
import { openChromium, openPage } from '../test-support/chromium.js';
import { libraryHtml, type LibraryWindow } from '../test-support/library-page.js';
import { serveLibrary } from '../test-support/library-server.js';

/** The used part of transformers.js. */
interface TransformersJs {
  readonly env: {
    allowRemoteModels: boolean;
    allowLocalModels: boolean;
    localModelPath: string;
    backends: { onnx: { wasm: { wasmPaths: string } } };
  };
  readonly RawImage: { fromBlob(blob: Blob): Promise<unknown> };
  readonly AutoProcessor: Loader<(image: unknown) => Promise<{ pixel_values: Values }>>;
  readonly AutoTokenizer: Loader<(texts: readonly string[], options: object) => object>;
  readonly CLIPVisionModelWithProjection: Loader<(inputs: object) => Promise<Embeds>>;
  readonly CLIPTextModelWithProjection: Loader<(inputs: object) => Promise<Embeds>>;
}

interface Loader<T> {
  from_pretrained(id: string, options?: object): Promise<T>;
}

interface Values {
  readonly data: Float32Array;
}

interface Embeds {
  readonly image_embeds?: Values;
  readonly text_embeds?: Values;
}

const { values } = parseArgs({
  options: {
    exported: { type: 'string' },
    data: { type: 'string' },
    count: { type: 'string', default: '100' },
    package: { type: 'string' },
  },
});
const { exported, data, count, package: folder } = values;
if (exported === undefined || data === undefined) throw new Error('Name --exported and --data.');

const require = createRequire(
  folder === undefined ? import.meta.url : join(folder, 'package.json'),
);
const transformers = dirname(require.resolve('@huggingface/transformers'));
const runtime = dirname(createRequire(join(transformers, 'x.js')).resolve('onnxruntime-web'));
const source = await openSource(data);
const taken = Math.min(source.size, Number(count));
const records = Array.from({ length: taken }, (_, i) => Math.floor((i * source.size) / taken));

const server = await serveLibrary({
  html: libraryHtml,
  folders: { model: exported, tjs: transformers, 'tjs-ort': runtime },
  make: (index) => source.image(Number(index)),
});
const browser = await openChromium();
const { page, foreign, errors } = await openPage(browser, server.url);
await page.waitForFunction('globalThis.bantam !== undefined');

const results = await page.evaluate(
  async ({ records, texts }) => {
    const { bantam } = globalThis as unknown as LibraryWindow;
    const name = '/tjs/transformers.min.js';
    const tjs = (await import(name)) as TransformersJs;
    tjs.env.allowRemoteModels = false;
    tjs.env.allowLocalModels = true;
    tjs.env.localModelPath = '/';
    tjs.env.backends.onnx.wasm.wasmPaths = '/tjs-ort/';
    const options = { dtype: 'fp32', device: 'wasm' };
    const vision = await tjs.CLIPVisionModelWithProjection.from_pretrained('model', options);
    const text = await tjs.CLIPTextModelWithProjection.from_pretrained('model', options);
    const processor = await tjs.AutoProcessor.from_pretrained('model');
    const tokenizer = await tjs.AutoTokenizer.from_pretrained('model');
    const clip = await bantam.WebClip.load('model', { dtype: 'fp32', wasmPaths: '/ort/' });
    const manifest = (await (await fetch('model/bantam.json')).json()) as {
      preprocess: Parameters<typeof bantam.prepareImage>[1];
    };
    const cosine = (a: Float32Array, b: Float32Array): number => {
      let [dot, aa, bb] = [0, 0, 0];
      for (const [i, value] of a.entries()) {
        const other = Number(b[i]);
        dot += value * other;
        aa += value * value;
        bb += other * other;
      }
      return dot / Math.sqrt(aa * bb);
    };
    const images: { pixels: number; features: number; samePixels: number }[] = [];
    for (const record of records) {
      const blob = await (await fetch(`made/${record}`)).blob();
      const { pixel_values: theirs } = await processor(await tjs.RawImage.fromBlob(blob));
      const ours = bantam.prepareImage(await bantam.decodeImage(blob), manifest.preprocess);
      const { image_embeds: features } = await vision({ pixel_values: theirs });
      const [own] = await clip.embedImages([blob]);
      if (features === undefined || own === undefined) throw new Error('There are no features.');
      const pixels = cosine(theirs.data, ours);
      // The same graph on the same pixels must give the same features, whoever calls it.
      theirs.data.set(ours);
      const { image_embeds: again } = await vision({ pixel_values: theirs });
      images.push({
        pixels,
        features: cosine(features.data, own),
        samePixels: again === undefined ? 0 : cosine(again.data, own),
      });
    }
    const ids = tokenizer(texts, { padding: true, truncation: true });
    const { text_embeds: found } = await text(ids);
    const own = await clip.embedTexts(texts);
    const width = clip.embedDim;
    const textCosines = own.map((row, i) =>
      cosine(found?.data.subarray(i * width, (i + 1) * width) ?? row.map(() => 0), row),
    );
    return { images, textCosines };
  },
  { records, texts: ['a red shoe', 'black T-shirt for men', 'a happy cat, sitting!'] },
);
await browser.close();
await server.close();

const summary = (list: readonly number[]): string => {
  const sorted = [...list].sort((a, b) => a - b);
  const mean = list.reduce((sum, value) => sum + value) / list.length;
  return `mean ${mean.toFixed(4)}, least ${Number(sorted[0]).toFixed(4)}`;
};
console.log(`${records.length} images of ${data}`);
console.log('cosine of pixels:', summary(results.images.map(({ pixels }) => pixels)));
console.log('cosine of features:', summary(results.images.map(({ features }) => features)));
console.log('on our pixels:', summary(results.images.map(({ samePixels }) => samePixels)));
console.log('cosine of text features:', summary(results.textCosines));
console.log({ foreign, errors });
