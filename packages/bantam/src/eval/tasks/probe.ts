import { cat, ones, scope, type Tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { mean } from '../../base/statistics.js';
import type { LabelSet } from '../../data/index.js';
import { zeroShot, type ZeroShotResult } from '../metrics/zero-shot.js';
import { defaultShots, fewShot, smallestClass, type FewShotScore } from '../probes/few-shot.js';
import { nearestNeighbours } from '../probes/knn.js';
import { linearProbe, probeWeights } from '../probes/linear-probe.js';
import {
  matchClasses,
  selectRows,
  splitByKey,
  type ProbeLayer,
  type ProbeSet,
} from '../probes/probe-set.js';
import { fractionInterval, wilson } from '../statistics/intervals.js';
import { classificationFacts, hitsOf } from './classify.js';
import { datasetFacts, labelsOfRows, type DatasetContext } from './dataset-context.js';
import type { ProbeFacts, ProbeOptions } from './probe-facts.js';
import type { EvalTask, EvaluationResult } from './result.js';

/** Training and validation data of a probe, embedded; absent parts are split from what there is. */
export interface ProbeSources {
  readonly train?: DatasetContext;
  readonly validation?: DatasetContext;
}

export interface ProbeInput extends ProbeSources {
  readonly context: DatasetContext;
  readonly options: ProbeOptions;
  readonly tasks: readonly EvalTask[];
  readonly onProgress: (message: string) => void;
}

/** Everything that the probes of one classification share. */
interface Prepared {
  /** Name of the classification. */
  readonly name: string;
  /** The classes that heads are trained on. */
  readonly classes: readonly string[];
  /** The classes of the test images, as numbers of {@link classes}. */
  readonly chosen: readonly number[];
  readonly train: ProbeSet;
  readonly validation: ProbeSet;
  readonly test: ProbeSet;
  /** The test images alone. */
  readonly context: DatasetContext;
  readonly facts: Omit<ProbeFacts, 'validation'>;
}

/** Results of linear probes, few-shot classifiers and nearest neighbours, for each classification. */
export function probe(input: ProbeInput): EvaluationResult[] {
  const results: EvaluationResult[] = [];
  for (const name of Object.keys(input.context.labelSets)) {
    const prepared = prepare(input, name);
    try {
      if (input.tasks.includes('linear-probe')) results.push(linear(prepared, input));
      if (input.tasks.includes('few-shot')) results.push(few(prepared, input));
      if (input.tasks.includes('knn')) results.push(nearest(prepared, input));
    } finally {
      for (const { features } of [prepared.train, prepared.validation, prepared.test]) {
        features.dispose();
      }
    }
  }
  return results;
}

/** Features of a layer; refused where they were not kept. */
function layerOf({ embeddings }: DatasetContext, layer: ProbeLayer): Tensor {
  const { image, representation } = embeddings;
  if (layer === 'embedding') return image;
  if (representation !== undefined) return representation;
  throw new BantamError(
    'The vectors before the projection were not kept; embed with representations.',
  );
}

function prepare({ context, options, ...sources }: ProbeInput, name: string): Prepared {
  const { layer = 'representation', normalize = false } = options;
  const own = labelSetOf(context, name);
  const trainContext = sources.train ?? context;
  const trainSet = labelSetOf(trainContext, name);
  const names = { test: context.dataset.spec, train: trainContext.dataset.spec };
  const chosen = matchClasses(own, trainSet, names);
  const testLabels = labelsOfRows(own, context.embeddings).map((label) =>
    label < 0 ? -1 : at(chosen, label),
  );
  const trainLabels = labelsOfRows(trainSet, trainContext.embeddings);
  const split = splitByKey(trainContext.embeddings.keys, trainLabels, {
    test: sources.train === undefined,
  });
  const part = (from: DatasetContext, labels: Int32Array, rows: readonly number[]): ProbeSet => ({
    features: selectRows(layerOf(from, layer), rows, { unit: normalize }),
    labels: Int32Array.from(rows, (row) => at(labels, row)),
  });
  const labelled = (labels: Int32Array): number[] =>
    [...labels.keys()].filter((row) => at(labels, row) >= 0);
  const testRows = sources.train === undefined ? split.test : labelled(testLabels);
  const train =
    sources.validation === undefined ? split.train : [...split.train, ...split.validation];
  const validation = (): ProbeSet => {
    const given = sources.validation;
    if (given === undefined) return part(trainContext, trainLabels, split.validation);
    const set = labelSetOf(given, name);
    const ids = matchClasses(set, trainSet, { ...names, test: given.dataset.spec });
    const labels = labelsOfRows(set, given.embeddings).map((label) =>
      label < 0 ? -1 : at(ids, label),
    );
    return part(given, labels, labelled(labels));
  };
  const test = part(context, testLabels, testRows);
  if (testRows.length === 0 || train.length === 0) {
    throw new BantamError(
      `"${names.test}" has too few images of each class to be split into training and test images; give training data.`,
    );
  }
  const { embeddings } = context;
  const kept = {
    ...embeddings,
    keys: testRows.map((row) => at(embeddings.keys, row)),
    records: Int32Array.from(testRows, (row) => at(embeddings.records, row)),
  };
  return {
    name,
    classes: trainSet.classes,
    chosen,
    train: part(trainContext, trainLabels, train),
    validation: validation(),
    test,
    context: { ...context, embeddings: kept },
    facts: {
      layer,
      normalized: normalize,
      width: test.features.dim(1),
      source: sources.train === undefined ? 'split by key' : names.train,
      train: train.length,
      test: testRows.length,
    },
  };
}

function labelSetOf({ labelSets, dataset }: DatasetContext, name: string): LabelSet {
  const found = labelSets[name];
  if (found !== undefined) return found;
  throw new BantamError(
    `"${dataset.spec}" has no classification "${name}", which the test data have; give training data of the same kind.`,
  );
}

function linear(prepared: Prepared, { options, onProgress }: ProbeInput): EvaluationResult {
  const { train, validation, test, classes, chosen, context, name, facts } = prepared;
  const found = linearProbe({
    train,
    validation,
    classes: classes.length,
    ...(options.c !== undefined && { c: options.c }),
    onTried: ({ c, accuracy }) => {
      onProgress(`linear probe: C ${c.toPrecision(3)}: ${(100 * accuracy).toFixed(1)} %`);
    },
  });
  const ownClasses = chosen.map((id) => at(classes, id));
  const idOf = new Map(chosen.map((id, i) => [id, i]));
  const labels = test.labels.map((label) => idOf.get(label) ?? -1);
  const scores = scope((): ZeroShotResult => {
    const image = cat([test.features, ones([labels.length, 1])], 1);
    const weights = probeWeights(found, { classes: classes.length, chosen });
    return zeroShot({ image, weights, classes: ownClasses, labels });
  });
  context.onHits?.({
    ...hitsOf(context, { classes: ownClasses }, { labels, scores }),
    task: 'linear-probe',
    metric: 'lp_acc1',
    labels: name,
  });
  const { metrics, chance, intervals, ...rest } = classificationFacts(
    context,
    { classes: ownClasses },
    scores,
  );
  return {
    ...datasetFacts(context),
    task: 'linear-probe',
    labels: name,
    ...rest,
    metrics: prefixed(metrics),
    chance: prefixed(chance),
    intervals: prefixed(intervals ?? {}),
    probe: {
      ...facts,
      validation: validation.labels.length,
      c: found.c,
      tried: found.tried,
      iterations: found.iterations,
      converged: found.converged,
    },
  };
}

/** CLIP_benchmark's names of a linear probe's metrics. */
function prefixed<T>(values: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`lp_${name}`, value]));
}

function few(prepared: Prepared, { options, onProgress }: ProbeInput): EvaluationResult {
  const { test, classes, context, name } = prepared;
  const { method = 'ridge' } = options;
  // As published, the training images are all of them: nothing is chosen on a validation set.
  const train = joined(prepared);
  const { shots, leftOut } = shotsFor(options.shots, train.labels, classes);
  onProgress(`few-shot: ${method} on ${train.labels.length} images`);
  const found = fewShot({ train, test, classes, method, shots });
  train.features.dispose();
  const metric = method === 'ridge' ? 'few_shot' : 'few_shot_logistic';
  const named = <T>(value: (score: FewShotScore) => T): Record<string, T> =>
    Object.fromEntries(found.map((score) => [`${metric}@${score.shots}`, value(score)]));
  const even = 1 / prepared.chosen.length;
  return {
    ...datasetFacts(context),
    task: 'few-shot',
    labels: name,
    classes: prepared.chosen.length,
    samples: test.labels.length,
    metrics: named(({ accuracies }) => mean(accuracies)),
    chance: named(() => even),
    intervals: named(({ accuracies }) => {
      const p = mean(accuracies);
      const spread = accuracies.map((value) => (value - p) ** 2);
      const between = spread.length < 2 ? 0 : mean(spread) / (spread.length - 1);
      return fractionInterval(p, (p * (1 - p)) / test.labels.length + between);
    }),
    probe: {
      ...prepared.facts,
      train: train.labels.length,
      seeds: found.map(({ shots: count, accuracies }) => ({ shots: count, accuracies })),
      method,
      ...(leftOut !== undefined && { leftOut }),
    },
  };
}

/** The shots that were asked for, or the default ones that every class has images for. */
function shotsFor(
  asked: readonly number[] | undefined,
  labels: Int32Array,
  classes: readonly string[],
): { readonly shots: readonly number[] } & Pick<ProbeFacts, 'leftOut'> {
  if (asked !== undefined) return { shots: asked };
  const sizes = new Int32Array(classes.length);
  for (const label of labels) sizes[label] = at(sizes, label) + 1;
  const smallest = smallestClass(classes, sizes);
  if (smallest === undefined) return { shots: defaultShots };
  const shots = defaultShots.filter((count) => count <= smallest.images);
  // Without any, the classifier itself names the class.
  if (shots.length === 0) return { shots: defaultShots.slice(0, 1) };
  if (shots.length === defaultShots.length) return { shots };
  return { shots, leftOut: { ...smallest, shots: defaultShots.slice(shots.length) } };
}

function nearest(prepared: Prepared, { options }: ProbeInput): EvaluationResult {
  const { test, classes, context, name } = prepared;
  const { neighbours } = options;
  const train = joined(prepared);
  const found = nearestNeighbours({
    train,
    test,
    classes: classes.length,
    ...(neighbours && { k: neighbours }),
  });
  train.features.dispose();
  const named = <T>(value: (accuracy: number) => T): Record<string, T> =>
    Object.fromEntries(found.map(({ k, accuracy }) => [`knn@${k}`, value(accuracy)]));
  const samples = test.labels.length;
  return {
    ...datasetFacts(context),
    task: 'knn',
    labels: name,
    classes: prepared.chosen.length,
    samples,
    metrics: named((accuracy) => accuracy),
    chance: named(() => 1 / prepared.chosen.length),
    intervals: named((accuracy) => wilson(accuracy * samples, samples)),
    probe: { ...prepared.facts, train: train.labels.length },
  };
}

/** Training and validation images. */
function joined({ train, validation }: Prepared): ProbeSet {
  return {
    features: scope(() => cat([train.features, validation.features], 0)),
    labels: Int32Array.from([...train.labels, ...validation.labels]),
  };
}
