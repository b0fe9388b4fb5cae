import { availableParallelism } from 'node:os';
import type { Source } from 'bantam';
import type { Browser } from 'playwright-core';
import type { ModelDtype } from '../types.js';
import { openPage, type WatchedPage } from '../test-support/chromium.js';
import { libraryHtml, type LibraryWindow } from '../test-support/library-page.js';
import { serveLibrary } from '../test-support/library-server.js';
import type { PageServer } from '../serve.js';

export interface BrowserEncoderOptions {
  /** Folder that `bantam export --to onnx` wrote. */
  readonly model: string;
  readonly dtype: ModelDtype;
  readonly source: Source;
}

/** Images or texts that go through the page at once. */
const atOnce = 64;

/** A model in Chromium, which fetches and decodes the images of a source itself. */
export class BrowserEncoder {
  readonly #server: PageServer;
  readonly #watched: WatchedPage;

  private constructor(server: PageServer, watched: WatchedPage) {
    this.#server = server;
    this.#watched = watched;
  }

  static async open(
    browser: Browser,
    { model, dtype, source }: BrowserEncoderOptions,
  ): Promise<BrowserEncoder> {
    const server = await serveLibrary({
      html: libraryHtml,
      folders: { model },
      make: (index) => source.image(Number(index)),
    });
    const watched = await openPage(browser, server.url);
    await watched.page.waitForFunction('globalThis.bantam !== undefined');
    await watched.page.evaluate(
      async ({ dtype, threads }) => {
        const page = globalThis as unknown as LibraryWindow;
        const options = { dtype, threads, backend: 'wasm', wasmPaths: '/ort/' } as const;
        page.state.clip = await page.bantam.WebClip.load('model', options);
      },
      { dtype, threads: availableParallelism() },
    );
    return new BrowserEncoder(server, watched);
  }

  /** Features of records' images, from their files. */
  async encodeImages(records: readonly number[]): Promise<Float32Array> {
    return this.#encode(records, (batch) =>
      this.#watched.page.evaluate(async (batch) => {
        const { clip } = (globalThis as unknown as LibraryWindow).state;
        const files = await Promise.all(
          batch.map(async (record) => (await fetch(`made/${record}`)).blob()),
        );
        const rows = await clip?.embedImages(files);
        return rows?.map((row) => [...row]) ?? [];
      }, batch),
    );
  }

  /** Features of texts. */
  async encodeTexts(texts: readonly string[]): Promise<Float32Array> {
    return this.#encode(texts, (batch) =>
      this.#watched.page.evaluate(async (batch) => {
        const rows = await (globalThis as unknown as LibraryWindow).state.clip?.embedTexts(batch);
        return rows?.map((row) => [...row]) ?? [];
      }, batch),
    );
  }

  async close(): Promise<void> {
    await this.#watched.page.close();
    await this.#server.close();
    const { foreign, errors } = this.#watched;
    if (foreign.length + errors.length > 0) throw new Error([...foreign, ...errors].join('\n'));
  }

  async #encode<T>(
    items: readonly T[],
    run: (batch: readonly T[]) => Promise<number[][]>,
  ): Promise<Float32Array> {
    const rows: number[] = [];
    for (let start = 0; start < items.length; start += atOnce) {
      const batch = await run(items.slice(start, start + atOnce));
      for (const row of batch) rows.push(...row);
    }
    return Float32Array.from(rows);
  }
}
