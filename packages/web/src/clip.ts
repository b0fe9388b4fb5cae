import { BantamError } from 'bantam/portable';
import { decodeImage } from './decode.js';
import { fetchBytes, type OnDownload } from './fetch-files.js';
import { chooseDtype, graphFiles, type GraphFiles } from './manifest.js';
import { readModelFiles, type ModelFiles } from './model-files.js';
import { prepareImage } from './prepare.js';
import { openRuntime, type OpenRuntime } from './runtime.js';
import type { Logits, ModelDtype, RgbImage, RuntimeInfo, RuntimeOptions } from './types.js';
import { normalized } from './vectors.js';

export interface LoadClipOptions extends RuntimeOptions {
  /**
   * Number format of the weights. `auto`, the default, takes the one that suits the backend of those
   * that were exported: on a GPU fp16 if it has it, else fp32; in WebAssembly q8.
   */
  readonly dtype?: ModelDtype | 'auto';
  /** Called as the weights arrive. */
  readonly onDownload?: OnDownload;
}

type Session = Awaited<ReturnType<OpenRuntime['ort']['InferenceSession']['create']>>;
type Feeds = Parameters<Session['run']>[0];
type Tower = 'text' | 'image';

interface Parts {
  readonly base: URL;
  readonly files: ModelFiles;
  readonly runtime: OpenRuntime;
  readonly dtype: ModelDtype;
  readonly graphs: GraphFiles;
  readonly onDownload: OnDownload | undefined;
}

/** Texts or images that are encoded at once. */
const batchSize = 8;

/** A CLIP model that runs in the browser. Each tower is fetched when it is first used. */
export class WebClip {
  readonly #parts: Parts;
  readonly #sessions = new Map<Tower, Promise<Session>>();
  /** Runs wait for each other: a session computes one batch at a time. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Opens a model that `bantam export --to onnx` wrote. */
  static async load(url: string | URL, options: LoadClipOptions = {}): Promise<WebClip> {
    const base = new URL(String(url).replace(/\/?$/, '/'), globalThis.location.href);
    const [files, runtime] = await Promise.all([readModelFiles(base), openRuntime(options)]);
    const { dtype: wanted = 'auto', onDownload } = options;
    const dtype = wanted === 'auto' ? chooseDtype(files.manifest, runtime) : wanted;
    return new WebClip({
      base,
      files,
      runtime,
      dtype,
      graphs: graphFiles(files.manifest, dtype),
      onDownload,
    });
  }

  /** Dimensions of the features. */
  get embedDim(): number {
    return this.#parts.files.manifest.embedDim;
  }

  /** The model in a few words. */
  get description(): string {
    return this.#parts.files.manifest.description;
  }

  /** How cosines become logits, and those probabilities. */
  get logits(): Logits {
    return this.#parts.files.manifest.logits;
  }

  /** Number format of the weights. */
  get dtype(): ModelDtype {
    return this.#parts.dtype;
  }

  /** `wasm` or `webgpu`, with how many threads, and whether the page may use several. */
  get runtime(): RuntimeInfo {
    const { backend, threads, isolated } = this.#parts.runtime;
    return { backend, threads, isolated };
  }

  /** Features of texts, each of length 1. */
  async embedTexts(texts: readonly string[]): Promise<Float32Array[]> {
    return this.#embed('text', texts, (batch) => {
      const { ids, shape } = this.#parts.files.tokenizer.encodeBatch(batch);
      return { input_ids: new this.#parts.runtime.ort.Tensor('int64', ids, shape) };
    });
  }

  /**
   * Features of images, each of length 1.
   *
   * @param images files, or RGB pixels of any size
   */
  async embedImages(images: readonly (Blob | RgbImage)[]): Promise<Float32Array[]> {
    const { preprocess } = this.#parts.files.manifest;
    const { size } = preprocess;
    return this.#embed('image', images, async (batch) => {
      const pixels = new Float32Array(batch.length * 3 * size * size);
      for (const [row, image] of batch.entries()) {
        const decoded = image instanceof Blob ? await decodeImage(image) : image;
        pixels.set(prepareImage(decoded, preprocess), row * 3 * size * size);
      }
      const shape = [batch.length, 3, size, size];
      return { pixel_values: new this.#parts.runtime.ort.Tensor('float32', pixels, shape) };
    });
  }

  /** Frees the memory of the weights. */
  async dispose(): Promise<void> {
    const sessions = await Promise.all(this.#sessions.values());
    this.#sessions.clear();
    for (const session of sessions) await session.release();
  }

  async #embed<T>(
    tower: Tower,
    items: readonly T[],
    feedsOf: (batch: readonly T[]) => Feeds | Promise<Feeds>,
  ): Promise<Float32Array[]> {
    const session = await this.#session(tower);
    const rows: Float32Array[] = [];
    for (let start = 0; start < items.length; start += batchSize) {
      const feeds = await feedsOf(items.slice(start, start + batchSize));
      const run = this.#last.then(() => session.run(feeds));
      this.#last = run.catch(() => undefined);
      rows.push(...this.#rowsOf(await run));
    }
    return rows;
  }

  #rowsOf(outputs: Awaited<ReturnType<Session['run']>>): Float32Array[] {
    const names = ['text_embeds', 'image_embeds', 'pooler_output'];
    const output = names.map((name) => outputs[name]).find((tensor) => tensor !== undefined);
    const { data, dims } = output ?? { data: undefined, dims: [] };
    const [count = 0, width = 0] = dims;
    if (!(data instanceof Float32Array) || width !== this.embedDim) {
      throw new BantamError('The graph does not give features of the model; export it again.');
    }
    const rows = Array.from({ length: count }, (_, row) =>
      normalized(data.subarray(row * width, (row + 1) * width)),
    );
    if (rows.every((row) => row.every(Number.isFinite))) return rows;
    throw new BantamError(
      `The model gives features that are not finite (${this.#parts.dtype}, ${this.#parts.runtime.backend}); use another dtype, or the backend "wasm".`,
    );
  }

  #session(tower: Tower): Promise<Session> {
    const open = this.#sessions.get(tower) ?? this.#open(tower);
    this.#sessions.set(tower, open);
    // A later call tries again: the connection may have come back.
    open.catch(() => this.#sessions.delete(tower));
    return open;
  }

  async #open(tower: Tower): Promise<Session> {
    const { base, graphs, runtime, onDownload } = this.#parts;
    const path = graphs[tower];
    const bytes = await fetchBytes(new URL(path, base), onDownload);
    const name = `${path.slice(path.lastIndexOf('/') + 1)}_data`;
    const externalData = graphs.externalData
      ? [{ path: name, data: await fetchBytes(new URL(`${path}_data`, base), onDownload) }]
      : [];
    return runtime.ort.InferenceSession.create(bytes, {
      executionProviders: runtime.backend === 'webgpu' ? ['webgpu', 'wasm'] : ['wasm'],
      externalData,
      // Warnings about operators that run on the CPU are of no use to a page's visitors.
      logSeverityLevel: 3,
    });
  }
}
