import { at } from '../base/at.js';
import { cat, reshape, scope, split, type Tensor } from '@bantam/torch';
import {
  openSource,
  type LabelSet,
  type OpenSourceOptions,
  type Prompts,
  type Source,
} from '../data/index.js';
import { BantamError, UsageError } from '../base/errors.js';
import type { LoadedModel } from '../models/index.js';
import { didYouMean } from '../base/did-you-mean.js';
import type { Confusion } from './confusions.js';
import { evalDatasets, type EvalDataset } from './datasets.js';
import {
  disposeEmbeddings,
  embedSource,
  type Embeddings,
  type EmbedProgress,
  type EmbedSourceOptions,
} from './embed.js';
import { encodeTexts, type EncodeOptions } from './encode.js';
import { answersAll, queryHits, type AnsweredQuery, type QueryRank } from './query-hits.js';
import type { Scores } from './scores.js';
import { retrieval } from './retrieval.js';
import { classPrompts, withClasses } from './own-prompts.js';
import { classifierWeights, zeroShot } from './zero-shot.js';

export const evalTasks = ['zero-shot', 'retrieval'] as const;

/** A way to measure a model. */
export type EvalTask = (typeof evalTasks)[number];

/** A model's scores on a data set in a task. Plain data. */
export interface EvaluationResult extends Scores {
  readonly dataset: EvalDataset['name'];
  readonly spec: EvalDataset['spec'];
  readonly kind?: NonNullable<EvalDataset['kind']>;
  /** `queries`: the searches of {@link EvaluateOptions.queries}. */
  readonly task: EvalTask | 'queries';
  /** Images that took part. */
  readonly samples: number;
  /** Zero-shot: which of the source's classifications. */
  readonly labels?: string;
  /** Zero-shot: number of classes. */
  readonly classes?: number;
  /** Zero-shot: accuracy of always answering with the commonest class. */
  readonly majority?: number;
  /** Zero-shot: the confusions that cost the most accuracy; examples are keys of records. */
  readonly confusions?: readonly Confusion<string>[];
  /** Retrieval: number of distinct captions. */
  readonly captions?: number;
  /** Queries: the rank of each one's first right answer. */
  readonly ranks?: readonly QueryRank[];
  /** Images that could not be read and so did not take part. */
  readonly quarantined: number;
}

/** A data set with its embeddings, while it is being evaluated. */
export interface EmbeddedDataset {
  readonly dataset: EvalDataset;
  readonly source: Source;
  readonly embeddings: Embeddings;
}

export interface EvaluateOptions
  extends Omit<EmbedSourceOptions, 'onProgress' | 'quarantine'>, OpenSourceOptions {
  /** All by default; zero-shot only where a source has classes. */
  readonly tasks?: readonly EvalTask[];
  /**
   * Prompts for all classes or for each, or the name of a list, see {@link classPrompts}; the source's
   * own by default.
   */
  readonly templates?: string | Prompts;
  /** Classes in place of the data's own, see {@link withClasses}. */
  readonly classes?: readonly string[];
  /** Searches to judge on every data set that holds an answer to each of them. None by default. */
  readonly queries?: readonly AnsweredQuery[];
  readonly onProgress?: (progress: EmbedProgress & { dataset: string }) => void;
  /** Called with each data set before its embeddings are freed. */
  readonly onEmbedded?: (embedded: EmbeddedDataset) => void | Promise<void>;
}

/**
 * Evaluates a model on data sets: zero-shot classification for each of a source's classifications,
 * and retrieval between images and captions. Each source is embedded once for all tasks.
 *
 * @param specs Data sets, or specifications as {@link evalDatasets} takes them.
 * @throws BantamError when a source cannot be opened, or zero-shot alone is asked of one without classes.
 */
export async function evaluate(
  loaded: LoadedModel,
  specs: readonly (string | EvalDataset)[],
  options: EvaluateOptions = {},
): Promise<EvaluationResult[]> {
  const tasks = checkTasks(options.tasks ?? evalTasks);
  const datasets = specs.flatMap((spec) => (typeof spec === 'string' ? evalDatasets(spec) : spec));
  const classifiers = new ClassifierCache(loaded, options);
  const results: EvaluationResult[] = [];
  try {
    for (const dataset of datasets) {
      const source = await openSource(dataset.spec, options);
      checkClasses(source, tasks);
      const embeddings = await embedSource(loaded, source, {
        ...options,
        onProgress: (progress) => options.onProgress?.({ ...progress, dataset: dataset.name }),
      });
      try {
        const embedded = { dataset, source, embeddings };
        if (tasks.includes('zero-shot')) results.push(...(await classify(embedded, classifiers)));
        if (tasks.includes('retrieval')) results.push(retrieve(embedded));
        results.push(...(await searched(embedded, loaded, options)));
        await options.onEmbedded?.(embedded);
      } finally {
        disposeEmbeddings(embeddings);
      }
    }
  } finally {
    classifiers.dispose();
  }
  return results;
}

function checkTasks(tasks: readonly string[]): readonly EvalTask[] {
  return tasks.map((task) => {
    const found = evalTasks.find((known) => known === task);
    if (found !== undefined) return found;
    throw new UsageError(
      `There is no task "${task}"${didYouMean(task, evalTasks)}; tasks are ${evalTasks.join(', ')}.`,
    );
  });
}

function checkClasses({ spec, labelSets }: Source, tasks: readonly EvalTask[]): void {
  if (tasks.includes('retrieval') || Object.keys(labelSets).length > 0) return;
  throw new BantamError(
    `"${spec}" has no classes for zero-shot classification; give it labels or use the task retrieval.`,
  );
}

async function classify(
  { dataset, source, embeddings }: EmbeddedDataset,
  classifiers: ClassifierCache,
): Promise<EvaluationResult[]> {
  const { image, keys, records, quarantined } = embeddings;
  const results: EvaluationResult[] = [];
  for (const [name, own] of Object.entries(source.labelSets)) {
    const labelSet = classifiers.classified(own);
    const { classes } = labelSet;
    const labels = records.map((record) => at(labelSet.labels, record));
    const weights = await classifiers.weights(labelSet);
    const scores = zeroShot({ image, weights, classes, labels });
    results.push({
      dataset: dataset.name,
      spec: dataset.spec,
      ...(dataset.kind !== undefined && { kind: dataset.kind }),
      task: 'zero-shot',
      labels: name,
      classes: classes.length,
      ...scores,
      confusions: scores.confusions.map((confusion) => ({
        ...confusion,
        examples: confusion.examples.map((row) => at(keys, row)),
      })),
      quarantined: quarantined.length,
    });
  }
  return results;
}

function retrieve({ dataset, embeddings }: EmbeddedDataset): EvaluationResult {
  const { image, text, keys, captions, captionsOf, quarantined } = embeddings;
  return {
    dataset: dataset.name,
    spec: dataset.spec,
    ...(dataset.kind !== undefined && { kind: dataset.kind }),
    task: 'retrieval',
    samples: keys.length,
    captions: captions.length,
    ...retrieval({ image, text, textsOf: captionsOf }),
    quarantined: quarantined.length,
  };
}

/** The searches on a data set that holds an answer to each of them. */
async function searched(
  { dataset, source, embeddings }: EmbeddedDataset,
  loaded: LoadedModel,
  options: EvaluateOptions,
): Promise<EvaluationResult[]> {
  const { queries = [] } = options;
  const { image, keys, records, quarantined } = embeddings;
  const captions = Array.from(records, (record) => {
    const [caption = ''] = source.record(record).captions;
    return caption;
  });
  if (queries.length === 0 || !answersAll(queries, captions)) return [];
  const texts = queries.map(({ query }) => query);
  const text = await encodeTexts(loaded, texts, encodeOptions(options));
  const scores = scope(() => queryHits({ queries, text, image, captions }));
  text.dispose();
  return [
    {
      dataset: dataset.name,
      spec: dataset.spec,
      ...(dataset.kind !== undefined && { kind: dataset.kind }),
      task: 'queries',
      samples: keys.length,
      ...scores,
      quarantined: quarantined.length,
    },
  ];
}

function encodeOptions({ precision, batchSize }: EvaluateOptions): EncodeOptions {
  return {
    ...(precision !== undefined && { precision }),
    ...(batchSize !== undefined && { batchSize }),
  };
}

/** Classifier weights, made once for data sets that have classes and prompts in common. */
class ClassifierCache {
  readonly #made = new Map<string, Tensor>();

  constructor(
    readonly loaded: LoadedModel,
    readonly options: EvaluateOptions,
  ) {}

  /** A classification with the classes of the options, if they have some. */
  classified(labelSet: LabelSet): LabelSet {
    const { classes } = this.options;
    return classes === undefined ? labelSet : withClasses(labelSet, classes);
  }

  async weights({ classes, templates: own }: LabelSet): Promise<Tensor> {
    const prompts = classPrompts(classes, this.options.templates ?? own);
    const name = JSON.stringify([classes, prompts]);
    const weights = this.#made.get(name) ?? (await this.#make(prompts));
    this.#made.set(name, weights);
    return weights;
  }

  async #make(prompts: readonly (readonly string[])[]): Promise<Tensor> {
    const features = await encodeTexts(this.loaded, prompts.flat(), encodeOptions(this.options));
    const counts = prompts.map(({ length }) => length);
    const isEven = counts.every((count) => count === counts[0]);
    const { embedDim } = this.loaded.config;
    // Classes may have different numbers of prompts.
    const weights = scope(() =>
      isEven
        ? classifierWeights(reshape(features, [counts.length, at(counts, 0), embedDim]))
        : cat(
            split(features, counts).map((own) =>
              classifierWeights(reshape(own, [1, -1, embedDim])),
            ),
          ),
    );
    features.dispose();
    return weights;
  }

  dispose(): void {
    for (const weights of this.#made.values()) weights.dispose();
  }
}
