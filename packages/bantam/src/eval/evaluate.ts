import { openSource, type OpenSourceOptions, type Prompts, type Source } from '../data/index.js';
import { BantamError, UsageError } from '../base/errors.js';
import type { LoadedModel } from '../models/index.js';
import { evalDatasets, type EvalDataset } from './datasets.js';
import {
  disposeEmbeddings,
  embedSource,
  type EmbedProgress,
  type EmbedSourceOptions,
} from './embed.js';
import type { FeatureStore } from './features/feature-store.js';
import type { AnsweredQuery } from './metrics/query-hits.js';
import { withClasses } from './own-prompts.js';
import { imagenetLabels, imagenetSetOf } from './protocols/imagenet.js';
import { defaultShots } from './probes/few-shot.js';
import { resolveProtocols, zeroShotProtocols, type Protocols } from './protocols/protocols.js';
import { associate } from './tasks/associate.js';
import { checkShotsOf } from './tasks/check-shots.js';
import { ClassifierCache, type ClassifierOptions } from './tasks/classifier-cache.js';
import { classify } from './tasks/classify.js';
import type { DatasetContext, EmbeddedDataset, Hits } from './tasks/dataset-context.js';
import { probe } from './tasks/probe.js';
import type { ProbeOptions } from './tasks/probe-facts.js';
import {
  checkTasks,
  plainTasks,
  probeTasks,
  type EvalTask,
  type EvaluationResult,
} from './tasks/result.js';
import { retrieve, searched } from './tasks/retrieve.js';

export interface EvaluateOptions
  extends Omit<EmbedSourceOptions, 'onProgress' | 'quarantine' | 'geometry'>, OpenSourceOptions {
  /** Zero-shot, where a source has classes, and retrieval by default. */
  readonly tasks?: readonly EvalTask[];
  /**
   * Prompts for all classes or for each, or the name of a list, see `classPrompts`; the source's own by
   * default.
   */
  readonly templates?: string | Prompts;
  /** Classes in place of the data's own, see {@link withClasses}. */
  readonly classes?: readonly string[];
  /** Names of protocols, see {@link resolveProtocols}; `openclip` and `bantam` by default. */
  readonly protocols?: readonly string[];
  /** Settings of linear probes, few-shot classifiers and nearest neighbours. */
  readonly probe?: ProbeOptions;
  /** Adds per-class tables and the calibration of probabilities. False by default. */
  readonly details?: boolean;
  /** Keeps features between runs; none by default. */
  readonly store?: FeatureStore;
  /** Searches to judge on every data set that holds an answer to each of them. None by default. */
  readonly queries?: readonly AnsweredQuery[];
  readonly onProgress?: (progress: EmbedProgress & { dataset: string }) => void;
  /** Receives what a task without batches is at. */
  readonly onStep?: (dataset: string, message: string) => void;
  /** Receives right and wrong answers, item by item. */
  readonly onHits?: (hits: Hits) => void;
  /** Called with each data set before its embeddings are freed. */
  readonly onEmbedded?: (embedded: EmbeddedDataset) => void | Promise<void>;
}

/**
 * Evaluates a model on data sets: zero-shot classification and probes for each of a source's
 * classifications, and retrieval between images and captions. Each source is embedded once for all
 * tasks.
 *
 * @param specs Data sets, or specifications as {@link evalDatasets} takes them.
 * @throws BantamError when a source cannot be opened, or has not what a task needs; the reason of `signal`
 * when that comes.
 */
export async function evaluate(
  loaded: LoadedModel,
  specs: readonly (string | EvalDataset)[],
  options: EvaluateOptions = {},
): Promise<EvaluationResult[]> {
  const tasks = checkTasks(options.tasks ?? plainTasks);
  const protocols = resolveProtocols(options.protocols);
  const datasets = specs.flatMap((spec) => (typeof spec === 'string' ? evalDatasets(spec) : spec));
  const classifiers = new ClassifierCache(loaded, classifierOptions(options));
  const opener = new ContextOpener(loaded, { tasks, protocols, options });
  const results: EvaluationResult[] = [];
  try {
    for (const dataset of datasets) {
      await opener.checkShots(dataset);
      const context = await opener.open(dataset, dataset.spec);
      try {
        results.push(...(await measure({ context, opener, classifiers, tasks, options })));
        await options.onEmbedded?.(context);
      } finally {
        disposeEmbeddings(context.embeddings);
      }
    }
  } finally {
    classifiers.dispose();
  }
  return results;
}

interface MeasureInput {
  readonly context: DatasetContext;
  readonly opener: ContextOpener;
  readonly classifiers: ClassifierCache;
  readonly tasks: readonly EvalTask[];
  readonly options: EvaluateOptions;
}

/** All tasks on one data set. */
async function measure(input: MeasureInput): Promise<EvaluationResult[]> {
  const { context, classifiers, tasks, options } = input;
  const { dataset } = context;
  const results: EvaluationResult[] = [];
  if (tasks.includes('zero-shot')) results.push(...(await classify(context, classifiers)));
  // Captions may be missing beside other tasks only, see checkCaptions.
  if (tasks.includes('retrieval') && context.embeddings.captions.length > 0) {
    results.push(retrieve(context));
  }
  if (tasks.some((task) => probeTasks.includes(task))) results.push(...(await probes(input)));
  if (tasks.includes('associations')) {
    if (dataset.associations === undefined) {
      throw new UsageError(
        'The task associations needs a file of cues, candidates and associations; name it.',
      );
    }
    results.push(await associate(context, dataset.associations, classifierOptions(options)));
  }
  results.push(...(await searched(context, options.queries ?? [], classifierOptions(options))));
  return results;
}

async function probes({ context, opener, tasks, options }: MeasureInput) {
  const { dataset } = context;
  const opened: DatasetContext[] = [];
  const openPart = async (spec: string | undefined): Promise<DatasetContext | undefined> => {
    if (spec === undefined) return undefined;
    const part = await opener.open(dataset, spec);
    opened.push(part);
    return part;
  };
  try {
    const train = await openPart(dataset.train);
    const validation = await openPart(dataset.validation);
    return probe({
      context,
      tasks,
      options: options.probe ?? {},
      ...(train && { train }),
      ...(validation && { validation }),
      onProgress: (message) => options.onStep?.(dataset.name, message),
    });
  } finally {
    for (const { embeddings } of opened) disposeEmbeddings(embeddings);
  }
}

interface OpenerSettings {
  readonly tasks: readonly EvalTask[];
  readonly protocols: Protocols;
  readonly options: EvaluateOptions;
}

/** Opens and embeds data sets, all by the same settings. */
class ContextOpener {
  readonly #checked = new Map<string, Source>();

  constructor(
    readonly loaded: LoadedModel,
    readonly settings: OpenerSettings,
  ) {}

  /** Refuses shots that a class has too few images for, before anything is embedded. */
  async checkShots({ spec, train, validation }: EvalDataset): Promise<void> {
    const { tasks, options } = this.settings;
    const { shots = defaultShots.slice(0, 1) } = options.probe ?? {};
    // Validation images count as well, and are not known yet.
    if (!tasks.includes('few-shot') || validation !== undefined) return;
    const name = train ?? spec;
    const source = await openSource(name, options);
    checkClasses(source, tasks);
    checkShotsOf(source, { shots, isSplit: train === undefined });
    this.#checked.set(name, source);
  }

  /** A source; one that was opened for a check is opened no second time. */
  async #source(spec: string): Promise<Source> {
    const checked = this.#checked.get(spec);
    this.#checked.delete(spec);
    return checked ?? openSource(spec, this.settings.options);
  }

  async open(dataset: EvalDataset, spec: string): Promise<DatasetContext> {
    const { loaded } = this;
    const { tasks, protocols, options } = this.settings;
    const given = spec === dataset.spec ? dataset.source : undefined;
    const source = given ?? (await this.#source(spec));
    checkClasses(source, tasks);
    checkCaptions(source, tasks);
    const labelSets = Object.fromEntries(
      Object.entries(source.labelSets).map(([name, labelSet]) => [
        name,
        options.classes === undefined
          ? imagenetLabels(labelSet, dataset.classes)
          : withClasses(labelSet, options.classes),
      ]),
    );
    const [imagenet] = Object.entries(labelSets).flatMap(([name, { classes }]) => {
      const set = imagenetSetOf(classes);
      if (set !== undefined) return set;
      // A part of ImageNet's classes is resized as all of them.
      const own = source.labelSets[name]?.classes;
      return options.classes === undefined && classes !== own ? 'imagenet' : [];
    });
    const protocol = zeroShotProtocols[protocols.zeroShot];
    const { maxTokens } = protocol;
    const embedOptions: EmbedSourceOptions = {
      ...options,
      ...(maxTokens !== undefined && { maxTokens }),
      captions: protocols.retrieval === 'karpathy' ? 'all' : (options.captions ?? 'first'),
      geometry: protocol.geometry(imagenet === undefined ? {} : { imagenet }),
      representations: tasks.some((task) => probeTasks.includes(task)),
      onProgress: (progress) => options.onProgress?.({ ...progress, dataset: dataset.name }),
    };
    const embeddings = await (options.store === undefined
      ? embedSource(loaded, source, embedOptions)
      : options.store.embed(loaded, source, embedOptions));
    return {
      dataset: { ...dataset, spec },
      source,
      embeddings,
      loaded,
      protocols,
      labelSets,
      details: options.details ?? false,
      onHits: options.onHits,
    };
  }
}

function checkClasses({ spec, labelSets }: Source, tasks: readonly EvalTask[]): void {
  const probing = tasks.find((task) => probeTasks.includes(task));
  if (probing !== undefined && Object.values(labelSets).some(({ several }) => several)) {
    throw new BantamError(
      `The images of "${spec}" have several classes each, and ${probing} needs one for each image; use the task zero-shot.`,
    );
  }
  if (Object.keys(labelSets).length > 0) return;
  const needed = tasks.filter((task) => task === 'zero-shot' || probeTasks.includes(task));
  const trained = needed.find((task) => task !== 'zero-shot');
  // Zero-shot beside other tasks is left out where there are no classes.
  if (trained === undefined && (needed.length === 0 || tasks.length > needed.length)) return;
  throw new BantamError(
    `"${spec}" has no classes for ${trained ?? 'zero-shot classification'}; give it labels or use the task retrieval.`,
  );
}

function checkCaptions(source: Source, tasks: readonly EvalTask[]): void {
  if (!tasks.includes('retrieval')) return;
  const { spec, labelSets } = source;
  // Retrieval beside other tasks is left out where there are no captions.
  if (tasks.length > 1 && Object.keys(labelSets).length > 0) return;
  for (let index = 0; index < source.size; index++) {
    if (source.record(index).captions.length > 0) return;
  }
  throw new BantamError(
    `"${spec}" has no captions for retrieval; give it captions, or labels for the task zero-shot.`,
  );
}

function classifierOptions({
  templates,
  store,
  precision,
  batchSize,
  helpers,
  signal,
}: EvaluateOptions): ClassifierOptions {
  return {
    ...(templates !== undefined && { templates }),
    ...(store !== undefined && { store }),
    ...(precision !== undefined && { precision }),
    ...(batchSize !== undefined && { batchSize }),
    helpers,
    signal,
  };
}
