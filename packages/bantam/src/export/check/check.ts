/** Comparison of exported graphs with the model that they were made of. */
import { join } from 'node:path';
import { BantamError } from '../../base/errors.js';
import type { Source } from '../../data/index.js';
import { encodePixels, encodeTexts } from '../../eval/index.js';
import type { LoadedModel } from '../../models/index.js';
import type { ExportedFiles } from '../directory/manifest.js';
import type { ExportPrecision } from '../model-graph.js';
import { agreementOf, type Agreement } from './agreement.js';
import { madeSamples, samplesOf, type CheckSamples } from './check-samples.js';
import { taskScores, type Encoder, type TaskScores } from './evaluate-onnx.js';
import { OnnxEncoder, preprocessed, unitRows } from './onnx-encoder.js';
import type { OnnxRuntime } from './runtime.js';

/** Result of the check of a precision. */
export interface PrecisionCheck {
  readonly image: Agreement;
  readonly text: Agreement;
  /** Features of the graph with both towers. */
  readonly both: Agreement;
  /** Scores on the given data; null: none were given. */
  readonly scores: TaskScores | null;
}

/** Result of the check of a model. */
export interface ExportCheck {
  /** `generated` images, or the specification of the data. */
  readonly data: string;
  readonly images: number;
  readonly texts: number;
  /** Scores of Bantam itself on the given data; null: none were given. */
  readonly scores: TaskScores | null;
  readonly precisions: Readonly<Partial<Record<ExportPrecision, PrecisionCheck>>>;
}

/** Most by which features in fp32 may differ, and least cosines of the others. */
export const exportBounds = { fp32: 1e-4, fp16: 0.999, q8: 0.99 } as const;

/** Options of {@link checkExport}. */
export interface CheckExportOptions {
  readonly runtime: OnnxRuntime;
  readonly directory: string;
  readonly files: Readonly<Partial<Record<ExportPrecision, ExportedFiles>>>;
  /** Measures scores on it, and compares features on its first images and captions. */
  readonly source: Source | null;
  readonly onProgress?: (precision: string, done: number, total: number) => void;
}

/**
 * Runs the graphs by ONNX Runtime on images and texts and compares the features with Bantam's in
 * float32, see {@link exportBounds}.
 *
 * @throws BantamError if a graph's features are beyond the bounds.
 */
export async function checkExport(
  loaded: LoadedModel,
  { runtime, directory, files, source, onProgress }: CheckExportOptions,
): Promise<ExportCheck> {
  const { preprocess } = loaded;
  const { embedDim } = loaded.config;
  const samples = source === null ? madeSamples(preprocess) : await samplesOf(source, preprocess);
  const own = ownEncoder(loaded);
  const wanted = {
    image: await own.encodePixels(samples.pixels),
    text: await own.encodeTexts(samples.texts),
  };
  const scoresOf = (name: string, encoder: Encoder): Promise<TaskScores> | null =>
    source === null
      ? null
      : taskScores(encoder, source, {
          preprocess,
          embedDim,
          onProgress: (done, total) => onProgress?.(name, done, total),
        });
  const precisions: Partial<Record<ExportPrecision, PrecisionCheck>> = {};
  for (const [name, paths] of Object.entries(files) as [ExportPrecision, ExportedFiles][]) {
    await using encoder = await OnnxEncoder.open(runtime, loaded, { directory, files: paths });
    const image = await encoder.encodePixels(samples.pixels);
    const text = await encoder.encodeTexts(samples.texts);
    const both = await bothFeatures(runtime, loaded, {
      file: join(directory, paths.both),
      samples,
    });
    const check = {
      image: agreementOf(image, wanted.image, embedDim),
      text: agreementOf(text, wanted.text, embedDim),
      both: agreementOf(joined(both.image, both.text), joined(wanted.image, wanted.text), embedDim),
    };
    requireAgreement(name, check);
    precisions[name] = { ...check, scores: await scoresOf(name, encoder) };
  }
  return {
    data: source === null ? 'generated' : source.spec,
    images: samples.pixels.shape[0],
    texts: samples.texts.length,
    scores: await scoresOf('Bantam', own),
    precisions,
  };
}

/** The model itself, in float32. */
function ownEncoder(loaded: LoadedModel): Encoder {
  return {
    encodePixels: (input) => encodePixels(loaded, input),
    async encodeTexts(texts) {
      const features = await encodeTexts(loaded, texts);
      const rows = Float32Array.from(features.toTypedArray(), Number);
      features.dispose();
      return rows;
    },
  };
}

/** Features of the graph with both towers, of length 1. */
async function bothFeatures(
  runtime: OnnxRuntime,
  loaded: LoadedModel,
  { file, samples }: { file: string; samples: CheckSamples },
): Promise<{ image: Float32Array; text: Float32Array }> {
  const { embedDim } = loaded.config;
  const session = await runtime.open(file);
  try {
    const { ids, shape } = loaded.tokenizer.encodeBatch(samples.texts, { length: 'longest' });
    const { image_embeds: image, text_embeds: text } = await session.run({
      pixel_values: preprocessed(runtime, loaded, samples.pixels),
      input_ids: runtime.integers(ids, shape),
    });
    return { image: unitRows(image, embedDim), text: unitRows(text, embedDim) };
  } finally {
    await session.release();
  }
}

function joined(a: Float32Array, b: Float32Array): Float32Array {
  const all = new Float32Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

/** @throws BantamError unless the agreement of all graphs is within the bounds. */
function requireAgreement(
  precision: ExportPrecision,
  check: Readonly<Record<'image' | 'text' | 'both', Agreement>>,
): void {
  for (const [part, { largestDifference, leastCosine }] of Object.entries(check)) {
    const bound = exportBounds[precision];
    // Written so that NaN fails.
    const agrees = precision === 'fp32' ? largestDifference <= bound : leastCosine >= bound;
    if (agrees) continue;
    const found =
      precision === 'fp32'
        ? `differ from Bantam's by up to ${largestDifference.toExponential(1)}, more than ${bound}`
        : `have a cosine of only ${leastCosine.toFixed(4)} to Bantam's, less than ${bound}`;
    throw new BantamError(
      `In ${precision} the features of the graph "${part}" ${found}, so nothing was written; export in another precision with --precision, or report it.`,
    );
  }
}
