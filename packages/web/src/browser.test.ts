import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  decodeImage,
  encodePixels,
  encodeTexts,
  evalTransform,
  exportWeb,
  loadForInference,
} from 'bantam/experimental';
import type { Browser } from 'playwright-core';
import { servePage, type PageServer } from './serve.js';
import { colorImage, makeColorModel, type ColorModel } from './test-support/color-model.js';
import { libraryHtml, type LibraryWindow } from './test-support/library-page.js';
import { serveLibrary } from './test-support/library-server.js';
import {
  dropFile,
  openChromium,
  openPage,
  withoutChromium,
  type WatchedPage,
} from './test-support/chromium.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-page-'));
const out = join(folder, 'page');
let browser: Browser;
let made: ColorModel;

before(async () => {
  if (withoutChromium !== false) return;
  made = await makeColorModel(folder);
  await exportWeb(made.model, out, {
    index: made.index,
    title: 'Colors',
    precisions: ['fp32'],
    check: false,
  });
  browser = await openChromium();
});

after(async () => {
  if (withoutChromium === false) await browser.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('the page of bantam export --to web', { skip: withoutChromium }, () => {
  let server: PageServer;
  let watched: WatchedPage;

  before(async () => {
    server = await servePage(out);
    watched = await openPage(browser, server.url);
  });

  after(() => server.close());

  /** Types a search and waits for its results. */
  async function search(text: string): Promise<void> {
    await watched.page.fill('#query', text);
    await watched.page.locator(`#results[data-query="${text}"]`).waitFor();
  }

  /** Captions of the results, best first. */
  const captions = (): Promise<string[]> =>
    watched.page.locator('#results .caption').allTextContents();

  it('says how it computes: with threads, as the server isolates it', async () => {
    const runtime = watched.page.locator('#runtime');
    await runtime.filter({ hasText: /WebAssembly, (\d+ threads|one thread)/ }).waitFor();
    assert.equal(await watched.page.evaluate('crossOriginIsolated'), true);
    assert.doesNotMatch(String(await runtime.textContent()), /headers/);
    assert.equal(await watched.page.title(), 'Colors');
  });

  it('finds the images of a class by text', async () => {
    for (const color of ['blue', 'yellow']) {
      await search(`a photo of a ${color}`);
      const found = await captions();
      assert.deepEqual(new Set(found.slice(0, 4)), new Set([`a photo of a ${color}.`]));
    }
  });

  it('labels an image that is dropped, and finds it by text', async () => {
    await dropFile(watched.page, {
      name: 'dropped.png',
      bytes: await colorImage('green', 4),
      type: 'image/png',
    });
    const first = watched.page.locator('#own-list ol li:first-child');
    await first.waitFor();
    assert.match(String(await first.textContent()), /^green/);
    await search('green');
    const best = (await captions()).slice(0, 5);
    assert.ok(best.includes('dropped.png'), best.join());
    assert.ok(best.every((caption) => caption === 'dropped.png' || caption.includes('green')));
  });

  it('finds the images that are like another', async () => {
    await watched.page.fill('#query', '');
    await watched.page.click('#own-list button');
    await watched.page
      .locator('#results li:first-child .caption', { hasText: 'dropped.png' })
      .waitFor();
    assert.ok(
      (await captions()).slice(1, 5).every((caption) => caption.includes('green')),
      (await captions()).join(),
    );
  });

  it('says why a file that is no image cannot be added', async () => {
    await dropFile(watched.page, {
      name: 'notes.png',
      bytes: Buffer.from('no image'),
      type: 'image/png',
    });
    const card = watched.page.locator('#own-list li', { hasText: 'notes.png' });
    await card.filter({ hasText: 'cannot be decoded' }).waitFor();
  });

  it('asks nothing of another host, and reports no error', () => {
    assert.deepEqual(watched.foreign, []);
    assert.deepEqual(watched.errors, []);
  });
});

describe('the page on a server that does not isolate it', { skip: withoutChromium }, () => {
  it('computes with one thread, and says what more would take', async () => {
    const server = await serveLibrary({ folders: { page: out }, headers: {} });
    const { page, errors } = await openPage(browser, `${server.url}page/index.html`);
    const runtime = page.locator('#runtime', { hasText: 'one thread' });
    await runtime.waitFor();
    assert.match(String(await runtime.textContent()), /Cross-Origin-Opener-Policy: same-origin/);
    await page.fill('#query', 'red');
    await page.locator('#results li:first-child .caption', { hasText: 'red' }).waitFor();
    assert.deepEqual(errors, []);
    await server.close();
  });
});

describe('WebClip', { skip: withoutChromium }, () => {
  const photographs = new URL('../../bantam/fixtures/data/', import.meta.url);
  const names = ['astronaut', 'cat', 'coffee'].flatMap((name) => [
    `${name}.jpg`,
    `${name}-64-shortest-bicubic.png`,
  ]);
  const texts = [
    'a photo of a red.',
    'Blue!',
    'two  YELLOW caf\u00c3\u00a9s &amp; a dog \u{1f436}',
  ];

  for (const backend of ['wasm', 'webgpu'] as const) {
    it(`gives the features of Bantam for photographs and texts, on ${backend}`, async (test) => {
      // Without a GPU Chromium computes WebGPU by SwiftShader, if it is told to.
      const software = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
      const own = await openChromium([...software, '--enable-features=Vulkan']);
      const server = await serveLibrary({
        html: libraryHtml,
        folders: { model: join(out, 'model'), photographs: fileURLToPath(photographs) },
      });
      try {
        const { page, foreign, errors } = await openPage(own, server.url);
        await page.waitForFunction('globalThis.bantam !== undefined');
        const hasGpu = await page.evaluate(
          async () => 'gpu' in navigator && (await navigator.gpu.requestAdapter()) !== null,
        );
        if (backend === 'webgpu' && !hasGpu) {
          test.skip('this Chromium has no WebGPU');
          return;
        }
        const found = await page.evaluate(
          async ({ names, texts, backend }) => {
            const { bantam } = globalThis as unknown as LibraryWindow;
            const options = { dtype: 'fp32', wasmPaths: '/ort/', backend } as const;
            const clip = await bantam.WebClip.load('model', options);
            const files = await Promise.all(
              names.map(async (name) => (await fetch(`photographs/${name}`)).blob()),
            );
            const images = await clip.embedImages(files);
            const captions = await clip.embedTexts(texts);
            const used = clip.runtime.backend;
            await clip.dispose();
            const rows = (list: Float32Array[]) => list.map((row) => [...row]);
            return { used, images: rows(images), texts: rows(captions) };
          },
          { names, texts, backend },
        );
        const wanted = await bantamFeatures();
        assert.equal(found.used, backend);
        assert.ok(largestGap(found.images, wanted.images) < 1e-4);
        assert.ok(largestGap(found.texts, wanted.texts) < 1e-4);
        assert.deepEqual({ foreign, errors }, { foreign: [], errors: [] });
      } finally {
        await own.close();
        await server.close();
      }
    });
  }

  /** Features of the same photographs and texts by Bantam itself. */
  async function bantamFeatures(): Promise<{ images: Float32Array; texts: Float32Array }> {
    const { loaded } = await loadForInference(made.model);
    const pixels = await Promise.all(
      names.map(async (name) => {
        const bytes = readFileSync(new URL(name, photographs));
        return evalTransform(await decodeImage(bytes), loaded.preprocess).data;
      }),
    );
    const { size } = loaded.preprocess;
    const images = encodePixels(loaded, {
      pixels: Buffer.concat(pixels),
      shape: [names.length, size, size, 3],
    });
    using features = await encodeTexts(loaded, texts);
    return { images, texts: features.toTypedArray() as Float32Array };
  }
});

describe("the README's example", { skip: withoutChromium }, () => {
  it('labels the image that is chosen', async () => {
    const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
    const [, html = ''] = /```html\n(.*?)```/s.exec(readme) ?? [];
    const server = await serveLibrary({ html, folders: { model: join(out, 'model') } });
    const { page, foreign, errors } = await openPage(browser, server.url);
    const buffer = await colorImage('blue', 3);
    const answer = page.locator('pre', { hasText: 'probability' });
    // The example listens once it has encoded its labels.
    for (let tries = 0; tries < 100 && (await answer.count()) === 0; tries++) {
      await page.setInputFiles('input', { name: 'blue.png', mimeType: 'image/png', buffer });
      await answer.waitFor({ timeout: 500 }).catch(() => undefined);
    }
    const [first] = JSON.parse(String(await answer.textContent())) as { label: string }[];
    assert.equal(first?.label, 'blue');
    assert.deepEqual({ foreign, errors }, { foreign: [], errors: [] });
    await server.close();
  });
});

function largestGap(rows: readonly (readonly number[])[], expected: Float32Array): number {
  const values = rows.flat();
  assert.equal(values.length, expected.length);
  return Math.max(...values.map((value, i) => Math.abs(value - Number(expected[i]))));
}
