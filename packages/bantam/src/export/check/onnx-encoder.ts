import { join } from 'node:path';
import { fromTypedArray, noGrad, normalize, scope } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { normalizePixels, type LoadedModel } from '../../models/index.js';
import type { EncodePixelsInput } from '../../eval/index.js';
import type { ExportedFiles } from '../directory/manifest.js';
import type { OnnxRuntime, RuntimeSession, RuntimeTensor } from './runtime.js';

/** Images of a batch for the runtime. */
export interface ImageBatch {
  readonly pixels: EncodePixelsInput;
  /** Rows of the batch. */
  readonly count: number;
}

/** Texts at a time. */
const TEXT_BATCH = 64;

/** The towers of an exported model in ONNX Runtime. */
export class OnnxEncoder implements AsyncDisposable {
  readonly #runtime: OnnxRuntime;
  readonly #loaded: LoadedModel;
  readonly #image: RuntimeSession;
  readonly #text: RuntimeSession;

  constructor(
    runtime: OnnxRuntime,
    loaded: LoadedModel,
    sessions: { image: RuntimeSession; text: RuntimeSession },
  ) {
    this.#runtime = runtime;
    this.#loaded = loaded;
    this.#image = sessions.image;
    this.#text = sessions.text;
  }

  /** Opens the towers' files of a precision in a directory. */
  static async open(
    runtime: OnnxRuntime,
    loaded: LoadedModel,
    { directory, files }: { directory: string; files: ExportedFiles },
  ): Promise<OnnxEncoder> {
    const image = await runtime.open(join(directory, files.image));
    const text = await runtime.open(join(directory, files.text));
    return new OnnxEncoder(runtime, loaded, { image, text });
  }

  /** Features of images of the model's size: B·D values, each row scaled to length 1. */
  async encodePixels(input: EncodePixelsInput): Promise<Float32Array> {
    const pixels = preprocessed(this.#runtime, this.#loaded, input);
    const { image_embeds: features } = await this.#image.run({ pixel_values: pixels });
    return unitRows(features, this.#loaded.config.embedDim);
  }

  /** Features of texts: N·D values, each row scaled to length 1. */
  async encodeTexts(texts: readonly string[]): Promise<Float32Array> {
    const { config, tokenizer } = this.#loaded;
    const rows = new Float32Array(texts.length * config.embedDim);
    for (let start = 0; start < texts.length; start += TEXT_BATCH) {
      const { ids, shape } = tokenizer.encodeBatch(texts.slice(start, start + TEXT_BATCH), {
        length: 'longest',
      });
      const { text_embeds: features } = await this.#text.run({
        input_ids: this.#runtime.integers(ids, shape),
      });
      rows.set(unitRows(features, config.embedDim), start * config.embedDim);
    }
    return rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#image.release();
    await this.#text.release();
  }
}

/** Normalised pixels [B, 3, S, S] for the runtime. */
export function preprocessed(
  runtime: OnnxRuntime,
  { preprocess }: LoadedModel,
  { pixels, shape }: EncodePixelsInput,
): RuntimeTensor {
  const [batch, height, width] = shape;
  const values = noGrad(() =>
    scope(() => normalizePixels(fromTypedArray(pixels, { shape }), preprocess).toTypedArray()),
  );
  return runtime.floats(Float32Array.from(values, Number), [batch, 3, height, width]);
}

/** Rows of a graph's output, each scaled to length 1. */
export function unitRows(output: RuntimeTensor | undefined, width: number): Float32Array {
  if (!(output?.data instanceof Float32Array)) {
    throw new BantamError('A graph has no float32 features; export the model again.');
  }
  const { data } = output;
  const shape = [data.length / width, width];
  return scope(() => {
    const rows = normalize(fromTypedArray(data, { shape })).toTypedArray();
    return Float32Array.from(rows, Number);
  });
}
