import { setImmediate } from 'node:timers/promises';
import { at } from '../base/at.js';
import { causeOf } from '../base/system-error.js';
import { evalBatches, Quarantine, type Pixels, type Source } from '../data/index.js';
import { decodeLocation } from '../data/images/decode.js';
import { evalTransform } from '../data/images/eval-transform.js';
import {
  captionFacts,
  imageFacts,
  loadLanguageDetector,
  type LanguageDetector,
} from '../data/select/caption-facts.js';
import { perceptualHash } from '../data/select/perceptual-hash.js';
import type { ScoreRow } from '../data/select/score-file.js';
import { encodePixels, encodeTexts } from '../eval/index.js';
import { NormSimTarget } from './norm-sim.js';
import type { ScoringModel, ScoringPlan } from './scorers.js';

/** Rows of a batch, and features of those whose image could be read. */
export interface ScoredBatch {
  readonly rows: readonly ScoreRow[];
  readonly features: Float32Array;
}

type Values = Record<string, number | string>;

/** Images that are decoded at a time: decoding runs in the thread pool. */
const concurrency = 4;

/** Scores that a record has for itself. */
export class RecordScorer {
  readonly #source: Source;
  readonly #plan: ScoringPlan;
  readonly #detect: LanguageDetector | undefined;
  readonly #target: NormSimTarget | undefined;

  private constructor(
    source: Source,
    plan: ScoringPlan,
    parts: { detect: LanguageDetector | undefined; target: NormSimTarget | undefined },
  ) {
    this.#source = source;
    this.#plan = plan;
    this.#detect = parts.detect;
    this.#target = parts.target;
  }

  static async create(
    source: Source,
    plan: ScoringPlan,
    onTarget: (done: number, total: number) => void,
  ): Promise<RecordScorer> {
    const detect = plan.groups.has('captions') ? await loadLanguageDetector() : undefined;
    const target = await embedTarget(plan, onTarget);
    return new RecordScorer(source, plan, { detect, target });
  }

  dispose(): void {
    this.#target?.dispose();
  }

  /** Scores the records from `start` up to but not `end`. */
  async score(start: number, end: number): Promise<ScoredBatch> {
    const records = Array.from({ length: end - start }, (_, i) => this.#source.record(start + i));
    const images = await this.#readImages(start, end);
    const values = records.map(({ captions: [caption] }, i): Values => {
      const { facts } = at(images, i);
      if (this.#detect === undefined || caption === undefined) return { ...facts };
      return { ...captionFacts(caption, this.#detect), ...facts };
    });
    const readable = [...images.keys()].filter((i) => at(images, i).reason === undefined);
    const features = await this.#scoreByModel({
      values: readable.map((i) => at(values, i)),
      captions: readable.map((i) => at(records, i).captions[0]),
      pixels: readable.map((i) => at(images, i).pixels),
    });
    const rows = records.map(({ key }, i): ScoreRow => {
      const { reason } = at(images, i);
      return reason === undefined ? { key, ...at(values, i) } : { key, broken: reason };
    });
    await setImmediate();
    return { rows, features };
  }

  async #readImages(start: number, end: number): Promise<ReadImage[]> {
    const { groups, model } = this.#plan;
    const read = Array.from({ length: end - start }, (): ReadImage => ({}));
    if (!groups.has('images') && !groups.has('phash') && model === undefined) return read;
    const tasks = read.keys();
    const worker = async (): Promise<void> => {
      for (const i of tasks) {
        try {
          const whole = await decodeLocation(this.#source.location(start + i));
          const facts: Values = {
            ...(groups.has('images') && imageFacts(whole)),
            ...(groups.has('phash') && { phash: perceptualHash(whole) }),
          };
          read[i] = {
            facts,
            ...(model && { pixels: evalTransform(whole, model.loaded.preprocess) }),
          };
        } catch (error) {
          read[i] = { reason: causeOf(error) };
        }
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    return read;
  }

  /** Adds the scores of the model to the values, and gives the features to keep. */
  async #scoreByModel({ values, captions, pixels }: ModelBatch): Promise<Float32Array> {
    const { groups, model } = this.#plan;
    if (model === undefined || values.length === 0) return new Float32Array();
    const { loaded, precision } = model;
    const width = loaded.config.embedDim;
    const image = encodeImages(model, pixels);
    const isPaired = groups.has('similarity') || groups.has('negCLIPLoss');
    const text = isPaired ? new Float32Array(image.length) : undefined;
    if (text !== undefined) {
      const captioned = captions.flatMap((caption) => caption ?? []);
      const encoded = await encodeTexts(loaded, captioned, { precision });
      const rows = encoded.toTypedArray() as Float32Array;
      encoded.dispose();
      let next = 0;
      for (const [i, caption] of captions.entries()) {
        if (caption === undefined) continue;
        text.set(rows.subarray(next * width, ++next * width), i * width);
        at(values, i).similarity = roundScore(dot(image, text, { from: i * width, width }));
      }
    }
    const nearness = this.#target?.scores(image);
    for (const [i, own] of values.entries()) {
      if (nearness !== undefined) own.normSim = roundScore(at(nearness, i));
    }
    if (groups.has('negCLIPLoss') && text !== undefined) return interleave(image, text, width);
    return groups.has('duplicates') ? image : new Float32Array();
  }
}

/** An image that was read, or the reason why it could not be. */
interface ReadImage {
  readonly facts?: Values;
  /** After the model's evaluation transform. */
  readonly pixels?: Pixels;
  readonly reason?: string;
}

interface ModelBatch {
  readonly values: readonly Values[];
  /** First caption of each record. */
  readonly captions: readonly (string | undefined)[];
  readonly pixels: readonly (Pixels | undefined)[];
}

/** A score with the nine digits that tell every float32 apart. */
export function roundScore(score: number): number {
  return Number(score.toPrecision(9));
}

function encodeImages(
  { loaded, precision }: ScoringModel,
  pixels: readonly (Pixels | undefined)[],
): Float32Array {
  const { size } = loaded.preprocess;
  const bytes = new Uint8Array(pixels.length * size * size * 3);
  for (const [i, own] of pixels.entries()) if (own) bytes.set(own.data, i * size * size * 3);
  return encodePixels(
    loaded,
    { pixels: bytes, shape: [pixels.length, size, size, 3] },
    { precision },
  );
}

async function embedTarget(
  { target, model, norm, batchSize }: ScoringPlan,
  onTarget: (done: number, total: number) => void,
): Promise<NormSimTarget | undefined> {
  if (target === undefined || model === undefined) return undefined;
  const { loaded, precision } = model;
  const width = loaded.config.embedDim;
  const features = new Float32Array(target.size * width);
  let count = 0;
  const quarantine = new Quarantine({ maxFraction: 1 });
  const { preprocess } = loaded;
  for await (const batch of evalBatches(target, { preprocess, batchSize, quarantine })) {
    const { images: pixels, size, height, width: columns } = batch;
    const own = encodePixels(loaded, { pixels, shape: [size, height, columns, 3] }, { precision });
    features.set(own, count * width);
    count += size;
    onTarget(count, target.size);
    await setImmediate();
  }
  return new NormSimTarget(features.subarray(0, count * width), { width, order: norm });
}

/** Inner product of two rows of length `width`. */
function dot(
  a: Float32Array,
  b: Float32Array,
  { from, width }: { from: number; width: number },
): number {
  let sum = 0;
  for (let i = from; i < from + width; i++) sum += at(a, i) * at(b, i);
  return sum;
}

/** Rows of two matrices side by side. */
function interleave(a: Float32Array, b: Float32Array, width: number): Float32Array {
  const rows = new Float32Array(a.length + b.length);
  for (let from = 0; from < a.length; from += width) {
    rows.set(a.subarray(from, from + width), 2 * from);
    rows.set(b.subarray(from, from + width), 2 * from + width);
  }
  return rows;
}
