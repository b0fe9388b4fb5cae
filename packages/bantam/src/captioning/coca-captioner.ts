import { at } from '../base/at.js';
import { basename, dirname, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fromTypedArray, Generator, resolveDevice, scope } from '@bantam/torch';
import {
  generateCaptions,
  loadModel,
  normalizePixels,
  weightsDigest,
  type GenerateOptions,
  type LoadedModel,
} from '../models/index.js';
import { BantamError, UsageError } from '../base/errors.js';
import { evalTransform } from '../data/images/eval-transform.js';
import {
  imageRng,
  type Captioner,
  type CaptionOutcome,
  type CaptionImage,
  type CaptionRequest,
} from './captioner.js';

export interface CocaCaptionerOptions {
  /**
   * `sample` by default: captions that differ teach more than the likeliest ones (BLIP, arXiv
   * 2201.12086, section 4.4). `beam` gives the `count` best, `greedy` a single one.
   */
  readonly method?: 'sample' | 'beam' | 'greedy';
  /** Of `sample`; 1 by default. */
  readonly temperature?: number;
  /** Of `sample`: how many of the likeliest tokens are sampled from; all by default. */
  readonly topK?: number;
  /** Of `sample`: the fraction of probability that is sampled from; BLIP's 0.9 by default. */
  readonly topP?: number;
  /** Of `beam`; the most of 4 and `count` by default. */
  readonly beams?: number;
  /** Longest caption, with start and end; 30 by default. */
  readonly maxTokens?: number;
  /** `cpu`, `cuda`, `cuda:1`, `mps`, or `auto`, the default: a GPU if there is one. */
  readonly device?: string;
}

type Generation = Omit<GenerateOptions, 'count' | 'generator'>;

/**
 * A CoCa model of a directory. Images go through it in batches that are always the same, each with
 * a random stream of its own.
 */
export class CocaCaptioner implements Captioner {
  readonly source: string;
  readonly together = 16;
  readonly settings: Readonly<Record<string, string | number>>;
  readonly #loaded: LoadedModel;
  readonly #generation: Generation;

  private constructor(
    directory: string,
    {
      loaded,
      weights,
      generation,
    }: { loaded: LoadedModel; weights: string; generation: Generation },
  ) {
    this.#loaded = loaded;
    this.#generation = generation;
    this.source = `coca:${nameOf(directory)}`;
    this.settings = { weights, ...(generation as Record<string, string | number>) };
  }

  /**
   * @throws BantamError for a directory without a model, or with one that has no decoder, and for
   * options that the method does not have.
   */
  static async load(directory: string, options: CocaCaptionerOptions = {}): Promise<CocaCaptioner> {
    const { method = 'sample', temperature, topK, topP, beams, maxTokens } = options;
    const device = resolveDevice(options.device ?? 'auto');
    if (method !== 'sample' && (temperature ?? topK ?? topP) !== undefined) {
      throw new UsageError(
        `Temperature, top-k and top-p belong to sampling; leave them out for the method "${method}".`,
      );
    }
    if (method !== 'beam' && beams !== undefined) {
      throw new UsageError(
        `Beams belong to the method "beam", not to "${method}"; leave them out.`,
      );
    }
    const loaded = await loadModel(directory, { fused: true });
    if (loaded.config.decoder === null) {
      throw new BantamError(
        `The model "${directory}" has no decoder and writes no captions; name a CoCa model.`,
      );
    }
    loaded.model.to({ device });
    const generation = {
      method,
      ...(method === 'sample' && {
        temperature: temperature ?? 1,
        topK: topK ?? 0,
        topP: topP ?? 0.9,
      }),
      ...(beams !== undefined && { beams }),
      ...(maxTokens !== undefined && { maxTokens }),
    };
    return new CocaCaptioner(directory, {
      loaded,
      weights: await weightsDigest(directory),
      generation,
    });
  }

  async *caption(
    images: AsyncIterable<CaptionImage>,
    { count, seed, signal }: CaptionRequest,
  ): AsyncGenerator<CaptionOutcome, void, undefined> {
    if (this.#generation.method === 'greedy' && count > 1) {
      throw new UsageError(
        `A greedy search finds one caption, not ${count}; ask for 1, or choose sample or beam.`,
      );
    }
    let batch: CaptionImage[] = [];
    const group = ({ index }: CaptionImage) => Math.floor(index / this.together);
    for await (const image of images) {
      const [first = image] = batch;
      if (group(first) !== group(image)) {
        yield* this.#captionBatch(batch, { count, seed });
        batch = [];
        // Signals and progress get their turn.
        await setImmediate();
      }
      batch.push(image);
    }
    // After an abort the batch may lack images, and its captions would be others.
    if (signal?.aborted !== true && batch.length > 0)
      yield* this.#captionBatch(batch, { count, seed });
  }

  *#captionBatch(
    batch: readonly CaptionImage[],
    request: CaptionRequest,
  ): Iterable<CaptionOutcome> {
    const all = this.#generate(batch, request);
    for (const [i, { key }] of batch.entries()) {
      const texts = at(all, i).map((text) => text.trim());
      const captions = [...new Set(texts)].filter((text) => text !== '');
      if (captions.length > 0) yield { key, captions };
      else yield { key, reason: 'the model gave no words' };
    }
  }

  #generate(batch: readonly CaptionImage[], { count, seed }: CaptionRequest): string[][] {
    const { model, preprocess, tokenizer } = this.#loaded;
    const { size } = preprocess;
    const bytes = new Uint8Array(batch.length * size * size * 3);
    for (const [i, { pixels }] of batch.entries()) {
      bytes.set(evalTransform(pixels, preprocess).data, i * size * size * 3);
    }
    const generator = batch.map(({ key }) => new Generator({ seed: imageRng(seed, key).bits() }));
    return scope(() => {
      const { device } = model.logitScale;
      const raw = fromTypedArray(bytes, { shape: [batch.length, size, size, 3], device });
      const normalized = normalizePixels(raw, preprocess);
      return generateCaptions(model, normalized, {
        ...this.#generation,
        tokenizer,
        count,
        generator,
      });
    });
  }
}

/** A model's name: its folder's, or its run's where that is called `model`. */
function nameOf(directory: string): string {
  const path = resolve(directory);
  return basename(basename(path) === 'model' ? dirname(path) : path);
}
