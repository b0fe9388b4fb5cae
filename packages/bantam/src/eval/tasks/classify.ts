import { exp, fromTypedArray, indexSelect, scope, type Tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import type { LabelSet } from '../../data/index.js';
import { calibration, type Calibration } from '../metrics/calibration.js';
import { chanceF1, macroF1 } from '../metrics/classification.js';
import { multiLabel } from '../metrics/average-precision.js';
import { groupScores, type GroupScores } from '../metrics/groups.js';
import { zeroShot, type ZeroShotResult } from '../metrics/zero-shot.js';
import type { ClassifierCache } from './classifier-cache.js';
import { datasetFacts, labelsOfRows, recordsOf, type DatasetContext } from './dataset-context.js';
import type { EvaluationResult } from './result.js';

/** Zero-shot results, one for each of the data set's classifications. */
export async function classify(
  context: DatasetContext,
  classifiers: ClassifierCache,
): Promise<EvaluationResult[]> {
  const { embeddings, labelSets, protocols, details, loaded } = context;
  const results: EvaluationResult[] = [];
  for (const [name, labelSet] of Object.entries(labelSets)) {
    const { classes } = labelSet;
    const labels = labelsOfRows(labelSet, embeddings);
    const weights = await classifiers.weights(labelSet, protocols.zeroShot);
    if (labelSet.several !== undefined) {
      results.push(severalClasses(context, { name, labelSet, weights }));
      continue;
    }
    const scores = zeroShot({ image: embeddings.image, weights, classes, labels });
    context.onHits?.({
      ...hitsOf(context, labelSet, { labels, scores }),
      task: 'zero-shot',
      labels: name,
    });
    results.push({
      ...datasetFacts(context),
      task: 'zero-shot',
      protocol: protocols.zeroShot,
      labels: name,
      ...classificationFacts(context, labelSet, scores),
      ...(details && {
        calibration: scope((): Calibration => {
          const rows = [...labels.keys()].filter((row) => at(labels, row) >= 0);
          const index = fromTypedArray(BigInt64Array.from(rows, BigInt));
          return calibration({
            image: indexSelect(embeddings.image, 0, index),
            weights,
            labels: labels.filter((label) => label >= 0),
            scale: exp(loaded.model.logitScale).item(),
          });
        }),
      }),
    });
  }
  return results;
}

/** Zero-shot classification of images that show several classes. */
function severalClasses(
  context: DatasetContext,
  {
    name,
    labelSet: { classes, several = [] },
    weights,
  }: { readonly name: string; readonly labelSet: LabelSet; readonly weights: Tensor },
): EvaluationResult {
  const { embeddings, protocols, details } = context;
  const { classPrecisions, ...scores } = multiLabel({
    image: embeddings.image,
    weights,
    classes,
    several: Array.from(embeddings.records, (record) => at(several, record)),
  });
  return {
    ...datasetFacts(context),
    task: 'zero-shot',
    protocol: protocols.zeroShot,
    labels: name,
    classes: classes.length,
    ...scores,
    ...(details && { classPrecisions }),
  };
}

/** Metrics of a classification with everything that explains them, as plain data. */
export function classificationFacts(
  { dataset, source, embeddings, details }: DatasetContext,
  { classes }: Pick<LabelSet, 'classes'>,
  scores: ZeroShotResult,
): Pick<
  EvaluationResult,
  | 'classes'
  | 'samples'
  | 'metrics'
  | 'chance'
  | 'intervals'
  | 'majority'
  | 'confusions'
  | 'perClass'
  | 'groups'
> {
  const { keys } = embeddings;
  const { metrics, chance, intervals, samples, majority, classReports, ranks } = scores;
  const fields = dataset.groups ?? [];
  const groups = groupTables({ fields, ranks, source, embeddings });
  const f1 = 'F1-macro_all';
  return {
    classes: classes.length,
    samples,
    metrics: { ...metrics, [f1]: macroF1(classReports), ...groups.metrics },
    chance: { ...chance, [f1]: chanceF1(classReports, classes.length) },
    intervals: { ...intervals, ...groups.intervals },
    majority,
    confusions: scores.confusions.map((confusion) => ({
      ...confusion,
      examples: confusion.examples.map((row) => at(keys, row)),
    })),
    ...(details && { perClass: classReports }),
    ...(fields.length > 0 && { groups: groups.tables }),
  };
}

/** Accuracy in groups, and DataComp's metrics of the worst one: `acc_worst_…`, `acc_top5_worst_…`. */
function groupTables({
  fields,
  ranks,
  source,
  embeddings,
}: Pick<DatasetContext, 'source' | 'embeddings'> & {
  fields: readonly string[];
  ranks: Int32Array;
}) {
  const metrics: Record<string, number> = {};
  const intervals: NonNullable<EvaluationResult['intervals']> = {};
  const tables: GroupScores[] = fields.map((field) => {
    const groups = Array.from(embeddings.records, (record, row) =>
      at(ranks, row) < 0 ? undefined : source.record(record).meta[field],
    );
    const within = (k: number): GroupScores =>
      groupScores(
        field,
        Uint8Array.from(ranks, (rank) => (rank >= 0 && rank < k ? 1 : 0)),
        groups,
      );
    const [first, five] = [within(1), within(5)];
    metrics[`acc_worst_${field}`] = first.worst.recall;
    intervals[`acc_worst_${field}`] = first.worst.interval;
    metrics[`acc_top5_worst_${field}`] = five.worst.recall;
    intervals[`acc_top5_worst_${field}`] = five.worst.interval;
    return first;
  });
  return { metrics, intervals, tables };
}

/** Right and wrong answers of the images that have a class. */
export function hitsOf(
  context: DatasetContext,
  { classes }: Pick<LabelSet, 'classes'>,
  { labels, scores }: { labels: Int32Array; scores: ZeroShotResult },
) {
  const { dataset, embeddings } = context;
  const rows = [...labels.keys()].filter((row) => at(labels, row) >= 0);
  return {
    dataset: dataset.name,
    metric: 'acc1',
    keys: rows.map((row) => at(embeddings.keys, row)),
    hits: Uint8Array.from(rows, (row) => (at(scores.ranks, row) === 0 ? 1 : 0)),
    answers: rows.map((row) => at(classes, at(scores.predicted, row))),
    truths: rows.map((row) => at(classes, at(labels, row))),
  };
}

/** A caption of each embedded image; the empty text for images without. */
export function firstCaptions(context: DatasetContext): string[] {
  return recordsOf(context).map(({ captions: [caption = ''] }) => caption);
}
