import { basename, dirname, join, resolve } from 'node:path';
import { writeFileAtomic } from '@bantam/torch';
import { BantamError, UsageError } from '../../base/errors.js';
import { makeFolder } from '../../base/make-folder.js';
import { openSource, type OpenSourceOptions } from '../../data/index.js';
import type { EvalDataset } from '../datasets.js';
import { evaluate, type EvaluateOptions } from '../evaluate.js';
import { FeatureStore } from '../features/feature-store.js';
import { hashLabels, hashSource } from '../features/fingerprint.js';
import type { Helpers } from '../helpers/helpers.js';
import { loadTogether } from '../helpers/load.js';
import type { InferenceModel, InferencePrecision } from '../load-for-inference.js';
import { resolveProtocols } from '../protocols/protocols.js';
import { plainTasks, probeTasks, type EvalTask, type EvaluationResult } from '../tasks/result.js';
import { averagesOf } from './averages.js';
import { readBaselines } from './baselines.js';
import { suiteCsv } from './csv.js';
import { checkBaselines, suiteRobustness } from './robustness.js';
import { RunFile } from './run-files.js';
import type {
  MissingDataset,
  RefusedTask,
  SuiteEntry,
  SuiteModel,
  SuiteReport,
} from './suite-result.js';
import type { Suite, SuiteDataset } from './suite-schema.js';
import type { OpenedSuite } from './suite.js';

export interface RunSuiteOptions extends OpenSourceOptions {
  /** Models, as `loadModel` takes them. */
  readonly models: readonly string[];
  /** Folder for `results.json`, `results.csv`, and `runs/`, from which a later run resumes. */
  readonly out: string;
  /** `fp32` by default. */
  readonly precision?: InferencePrecision;
  /** Device of the models, as `loadForInference` takes it. */
  readonly device?: string;
  /** Processes that compute a part of the batches; none by default. */
  readonly helpers?: Helpers | undefined;
  /** Folder of features; Bantam's cache by default. */
  readonly features?: string;
  /** Tasks, instead of the suite's. */
  readonly tasks?: readonly EvalTask[];
  /** Names of protocols, instead of the suite's. */
  readonly protocols?: readonly string[];
  /** Files `results.json` of baselines for effective robustness. The run's own models by default. */
  readonly baselines?: readonly string[];
  /** Receives what is being done, and how far it is. */
  readonly onProgress?: (task: string, detail: string) => void;
}

/** A data set of the suite that is there, and what results on it depend on. */
interface Found {
  readonly dataset: SuiteDataset;
  readonly evaluated: EvalDataset;
  readonly hashes: readonly string[];
  readonly hasClasses: boolean;
}

/**
 * Runs a suite: every task of every model on every data set that can be read. Features are computed
 * once, results are kept in `runs/` as they come, and a later run measures only what is new or has
 * changed. Writes `results.json` and `results.csv`.
 *
 * @throws BantamError if none of the data sets can be read, or a model cannot be loaded.
 */
export async function runSuite(
  { suite, root }: OpenedSuite,
  options: RunSuiteOptions,
): Promise<SuiteReport> {
  const start = performance.now();
  const { out, onProgress } = options;
  const protocols = options.protocols ?? suite.protocols ?? [];
  resolveProtocols(protocols);
  const files = options.baselines ?? [];
  const baselines = await Promise.all(files.map(readBaselines));
  checkBaselines(suite, baselines, files);
  const { found, missing } = await findData(suite, root, options);
  if (found.length === 0) throw nothingThere(suite, root, missing);
  const models: SuiteModel[] = [];
  const results: SuiteEntry[] = [];
  const refused: RefusedTask[] = [];
  let reused = 0;
  for (const directory of options.models) {
    const runner = await ModelRunner.open(directory, { suite, protocols, options });
    const name = uniqueName(directory, models);
    models.push({ name, directory, hash: runner.store.modelHash });
    for (const one of found) {
      for (const task of runner.tasksOf(one)) {
        onProgress?.(`${name}: ${one.dataset.name}: ${task}`, '');
        try {
          const run = await runner.run(one, task, `${name}-${one.dataset.name}-${task}`);
          if (run.reused) reused += run.results.length;
          results.push(...run.results.map((result) => entryOf(result, name, one.dataset)));
        } catch (error) {
          if (!(error instanceof BantamError)) throw error;
          refused.push({ model: name, dataset: one.dataset.name, task, reason: error.message });
        }
      }
    }
  }
  const report: SuiteReport = {
    suite: suite.name,
    protocols: Object.values(resolveProtocols(protocols)),
    models,
    results,
    averages: averagesOf(suite, models, results),
    robustness: suiteRobustness(suite, { models, results }, baselines),
    missing,
    refused,
    reused,
    seconds: (performance.now() - start) / 1000,
  };
  makeFolder(out);
  const write = (file: string, text: string): void => {
    writeFileAtomic(join(out, file), [Buffer.from(text)]);
  };
  write('results.json', `${JSON.stringify(report, null, 1)}\n`);
  write('results.csv', suiteCsv(report));
  return report;
}

/** A result as an entry of the suite, with the published chance level of its main metric. */
function entryOf(
  result: EvaluationResult,
  model: string,
  { metric, chance, tags = [] }: SuiteDataset,
): SuiteEntry {
  const entry = { ...result, model, tags };
  if (metric === undefined) return entry;
  if (chance === undefined || !(metric in result.metrics)) return { ...entry, main: metric };
  return { ...entry, main: metric, chance: { ...result.chance, [metric]: chance } };
}

interface RunnerSettings {
  readonly suite: Suite;
  readonly protocols: readonly string[];
  readonly options: RunSuiteOptions;
}

/** Runs tasks of one model, which is loaded when something is to be measured. */
class ModelRunner {
  #model: InferenceModel | undefined;

  private constructor(
    readonly directory: string,
    readonly store: FeatureStore,
    readonly settings: RunnerSettings,
  ) {}

  static async open(directory: string, settings: RunnerSettings): Promise<ModelRunner> {
    const { features, precision } = settings.options;
    const store = await FeatureStore.open(directory, {
      ...(features !== undefined && { folder: features }),
      ...(precision === 'int8' && { variant: precision }),
    });
    return new ModelRunner(directory, store, settings);
  }

  /** Tasks of a data set; of the suite's own, those that it allows. */
  tasksOf({ dataset, hasClasses }: Found): readonly EvalTask[] {
    const { suite, options } = this.settings;
    if (options.tasks === undefined && dataset.tasks !== undefined) return dataset.tasks;
    const tasks = options.tasks ?? suite.tasks ?? plainTasks;
    const allowed = tasks.filter((task) => {
      if (task === 'associations') return dataset.associations !== undefined;
      return hasClasses || task === 'retrieval';
    });
    return allowed;
  }

  async run({ dataset, evaluated, hashes }: Found, task: EvalTask, name: string) {
    const { suite, protocols, options } = this.settings;
    const { out, precision = 'fp32', onProgress } = options;
    const probe = { ...suite.probe, ...dataset.probe };
    const { templates } = dataset;
    const file = new RunFile(join(out, 'runs'), name, [
      this.store.modelHash,
      precision,
      evaluated,
      hashes,
      task,
      resolveProtocols(protocols),
      templates,
      probeTasks.includes(task) ? probe : null,
    ]);
    const known = await file.read();
    if (known !== undefined) return { results: known, reused: true };
    this.#model ??= await loadTogether(this.directory, {
      helpers: options.helpers,
      precision,
      ...(options.device !== undefined && { device: options.device }),
    });
    const { loaded, precision: dtype } = this.#model;
    const evaluateOptions: EvaluateOptions = {
      tasks: [task],
      protocols,
      precision: dtype,
      helpers: options.helpers,
      store: this.store,
      details: true,
      probe,
      ...(templates !== undefined && { templates }),
      ...(options.cacheDir !== undefined && { cacheDir: options.cacheDir }),
      onProgress: ({ stage, done, total }) => {
        onProgress?.(`${name}: embedding ${stage}`, `${done} of ${total}`);
      },
      onStep: (_, message) => onProgress?.(name, message),
    };
    const results = await evaluate(loaded, [evaluated], evaluateOptions);
    file.write(results);
    return { results, reused: false };
  }
}

async function findData(
  suite: Suite,
  root: string,
  options: RunSuiteOptions,
): Promise<{ found: Found[]; missing: MissingDataset[] }> {
  const found: Found[] = [];
  const missing: MissingDataset[] = [];
  for (const dataset of suite.datasets) {
    options.onProgress?.('opening the data', dataset.name);
    try {
      found.push(await findDataset(dataset, root, options));
    } catch (error) {
      if (!(error instanceof BantamError)) throw error;
      const { name, get } = dataset;
      missing.push({ name, reason: error.message, ...(get !== undefined && { get }) });
    }
  }
  return { found, missing };
}

async function findDataset(
  dataset: SuiteDataset,
  root: string,
  options: RunSuiteOptions,
): Promise<Found> {
  const placed = (text: string): string => text.replaceAll('{root}', () => root);
  const { name, data, train, validation, classes, groups, associations } = dataset;
  const evaluated: EvalDataset = {
    name,
    spec: placed(data),
    ...(train !== undefined && { train: placed(train) }),
    ...(validation !== undefined && { validation: placed(validation) }),
    ...(classes !== undefined && { classes }),
    ...(groups !== undefined && { groups }),
    ...(associations !== undefined && { associations: placed(associations) }),
  };
  const specs = [evaluated.spec, evaluated.train, evaluated.validation];
  const hashes: string[] = [];
  let hasClasses = false;
  for (const spec of specs) {
    if (spec === undefined) continue;
    const source = await openSource(spec, options);
    if (spec === evaluated.spec) hasClasses = Object.keys(source.labelSets).length > 0;
    hashes.push(await hashSource(source), hashLabels(source));
  }
  return { dataset, evaluated, hashes, hasClasses };
}

function nothingThere(
  { name, datasets }: Suite,
  root: string,
  [first]: readonly MissingDataset[],
): BantamError {
  const how = first?.get === undefined ? (first?.reason ?? '') : `get one, such as ${first.get}.`;
  return new BantamError(
    `None of the ${datasets.length} data sets of the suite "${name}" can be read in "${resolve(root)}": ${how}`,
  );
}

/** The name of a model's folder; that of the run for a folder `model` or `best`. */
function uniqueName(directory: string, models: readonly SuiteModel[]): string {
  const path = resolve(directory);
  const last = basename(path);
  const name = ['model', 'best'].includes(last) ? basename(dirname(path)) : last;
  if (models.some((model) => resolve(model.directory) === path)) {
    throw new UsageError(`The model ${directory} is named twice; name each once.`);
  }
  return models.some((model) => model.name === name) ? directory : name;
}
