import { at, fromTypedArray, reshape, scope, type Tensor } from '@bantam/torch';
import { evalBatches, Quarantine, type LabelSet, type Source } from '../../data/index.js';
import {
  classifierWeights,
  fillTemplate,
  multiLabel,
  resolveTemplates,
  retrieval,
  zeroShot,
} from '../../eval/index.js';
import type { Preprocess } from '../../models/index.js';

/** Scores by metric: `acc1` of each classification, and the recalls at 1 of retrieval. */
export type TaskScores = Readonly<Record<string, number>>;

/** Gives features of length 1, a row for each input. */
export interface Encoder {
  encodePixels(input: {
    pixels: Uint8Array;
    shape: readonly [number, number, number, 3];
  }): Float32Array | Promise<Float32Array>;
  encodeTexts(texts: readonly string[]): Float32Array | Promise<Float32Array>;
}

/** Options of {@link taskScores}. */
export interface TaskScoresOptions {
  readonly preprocess: Preprocess;
  readonly embedDim: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Zero-shot accuracy for each classification of a source, and retrieval by first captions, as
 * `bantam eval` measures them, of whatever gives features.
 */
export async function taskScores(
  encoder: Encoder,
  source: Source,
  options: TaskScoresOptions,
): Promise<TaskScores> {
  const { embedDim } = options;
  const { rows, records } = await imageFeatures(encoder, source, options);
  const image = fromTypedArray(rows, { shape: [records.length, embedDim] });
  const scores: Record<string, number> = {};
  for (const [name, labelSet] of Object.entries(source.labelSets)) {
    const weights = await classifier(encoder, labelSet, embedDim);
    const { classes, labels, several } = labelSet;
    const ofRows = <T>(values: ArrayLike<T>): T[] => records.map((record) => at(values, record));
    const { metrics } =
      several === undefined
        ? zeroShot({ image, weights, classes, labels: Int32Array.from(ofRows(labels)) })
        : multiLabel({ image, weights, classes, several: ofRows(several) });
    scores[`zero-shot ${name}`] = Number(metrics.acc1 ?? metrics.mean_average_precision);
    weights.dispose();
  }
  Object.assign(scores, await captionScores(encoder, source, { image, records, embedDim }));
  image.dispose();
  return scores;
}

async function imageFeatures(
  encoder: Encoder,
  source: Source,
  { preprocess, embedDim, onProgress }: TaskScoresOptions,
): Promise<{ rows: Float32Array; records: number[] }> {
  const quarantine = new Quarantine({ maxFraction: 1 });
  const rows = new Float32Array(source.size * embedDim);
  const records: number[] = [];
  for await (const batch of evalBatches(source, { preprocess, batchSize: 32, quarantine })) {
    const { images, size, height, width, indices } = batch;
    const shape = [size, height, width, 3] as const;
    rows.set(await encoder.encodePixels({ pixels: images, shape }), records.length * embedDim);
    records.push(...indices);
    onProgress?.(records.length, source.size);
  }
  return { rows: rows.subarray(0, records.length * embedDim), records };
}

async function classifier(
  encoder: Encoder,
  { classes, templates: own }: LabelSet,
  embedDim: number,
): Promise<Tensor> {
  const templates = resolveTemplates(own);
  const prompts = classes.flatMap((name) => templates.map((one) => fillTemplate(one, name)));
  const features = await encoder.encodeTexts(prompts);
  return scope(() =>
    classifierWeights(
      reshape(fromTypedArray(features), [classes.length, templates.length, embedDim]),
    ),
  );
}

async function captionScores(
  encoder: Encoder,
  source: Source,
  { image, records, embedDim }: { image: Tensor; records: readonly number[]; embedDim: number },
): Promise<TaskScores> {
  const rowOf = new Map<string, number>();
  const textsOf = records.map((record) =>
    source
      .record(record)
      .captions.slice(0, 1)
      .map((caption) => {
        const row = rowOf.get(caption) ?? rowOf.size;
        rowOf.set(caption, row);
        return row;
      }),
  );
  if (rowOf.size === 0) return {};
  const features = await encoder.encodeTexts([...rowOf.keys()]);
  const text = fromTypedArray(features, { shape: [rowOf.size, embedDim] });
  const { metrics } = retrieval({ image, text, textsOf });
  text.dispose();
  return {
    'image retrieval recall@1': Number(metrics['image_retrieval_recall@1']),
    'text retrieval recall@1': Number(metrics['text_retrieval_recall@1']),
  };
}
