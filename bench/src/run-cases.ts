import { join } from 'node:path';
import { BantamError } from 'bantam/internal';
import { baselinePrecision, optimizer, type Case, type LoadCase, type ModelCase } from './cases.js';
import { measureAlternately } from './measure.js';
import type { BantamFacts, BaselineFacts, Prepared, Workload } from './protocol.js';
import { packer } from './baseline.js';
import { makePhotos } from './photos.js';
import type { CaseResult, SkippedCase } from './results.js';
import { runProgram } from './run-program.js';
import { describeSettings } from './settings-text.js';
import { startBantam, startBaseline, type WorkerOptions } from './workers.js';
import { TemporaryFolder } from './temporary-folder.js';
import { findBestSettings, usualSettings } from './trials.js';

/** Options of {@link runCases}. */
export interface RunCasesOptions extends WorkerOptions {
  /** Null measures Bantam alone. */
  readonly baseline: { readonly python: string; readonly facts: BaselineFacts } | null;
  readonly bantam: BantamFacts;
  /** Of models and their batches; loaders are the CPU's. */
  readonly device: string;
  readonly repetitions: number;
  readonly sliceSeconds: number;
  /** Samples of a step. */
  readonly batch: number;
  /** Workers of each loader. */
  readonly workers: number;
  /** `best` looks for the baseline's best settings, `with-compile` tries torch.compile as well. */
  readonly trials: 'none' | 'best' | 'with-compile';
  /** Told what is going on. */
  readonly onProgress: (what: string, detail: string) => void;
  /** Told of each case when it is done. */
  readonly onResult: (result: CaseResult | SkippedCase) => void;
}

/** Batches that a workload repeats in order. */
const batchCount = 3;

/** Measures the cases one after the other; one that fails is skipped with its reason. */
export async function runCases(
  cases: readonly Case[],
  options: RunCasesOptions,
): Promise<{ cases: CaseResult[]; skipped: SkippedCase[] }> {
  const results: CaseResult[] = [];
  const skipped: SkippedCase[] = [];
  for (const one of cases) {
    const outcome = await runCase(one, options).catch((error: unknown) => ({
      name: one.name,
      reason: error instanceof Error ? error.message : String(error),
    }));
    options.onResult(outcome);
    if ('reason' in outcome) skipped.push(outcome);
    else results.push(outcome);
  }
  return { cases: results, skipped };
}

async function runCase(one: Case, options: RunCasesOptions): Promise<CaseResult | SkippedCase> {
  if (one.kind !== 'load' && !options.bantam.presets.includes(one.model)) {
    return { name: one.name, reason: `Bantam has no preset ${one.model} yet.` };
  }
  using folder = new TemporaryFolder();
  options.onProgress(one.name, 'preparing');
  return one.kind === 'load'
    ? await runLoadCase(one, folder.path, options)
    : await runModelCase(one, folder.path, options);
}

async function runModelCase(
  { name, kind, model, precision }: ModelCase,
  folder: string,
  options: RunCasesOptions,
): Promise<CaseResult> {
  const { batch } = options;
  const prepared = await prepareModel({ model, folder }, options);
  const { device } = options;
  const workload = { kind, precision, device, folder, optimizer };
  return {
    name,
    kind,
    model,
    precision,
    samplesPerStep: batch,
    prepared,
    ...(await measure(name, workload, {
      ...options,
      precision,
      rate: true,
      baselineWorkload: { ...workload, precision: baselinePrecision(precision, options.isa) },
    })),
  };
}

/** Images of an epoch of the load cases, and shards that they are packed into. */
const photoCount = 1024;
const shardCount = 4;

async function runLoadCase(
  { name, kind, format }: LoadCase,
  folder: string,
  options: RunCasesOptions,
): Promise<CaseResult> {
  const { baseline } = options;
  if (baseline === null)
    throw new BantamError('Loaders are measured only together with the baseline.');
  const { table } = await makePhotos(folder, photoCount);
  const data = format === 'csv' ? table : join(folder, 'shards');
  if (format === 'wds') {
    const packed = await runProgram(baseline.python, [packer, table, data, String(shardCount)]);
    if (packed.code !== 0) {
      throw new BantamError(`The baseline could not pack shards: ${packed.output.trim()}`);
    }
  }
  const workload: Workload = {
    kind,
    format,
    data,
    shards: shardCount,
    count: photoCount,
    batch: 64,
    size: 224,
    workers: options.workers,
    vocabulary: baseline.facts.vocabulary,
  };
  // Pixels are 8 bits wide whatever the towers compute in.
  const precision = 'fp32';
  return {
    name,
    kind,
    precision,
    model: null,
    samplesPerStep: photoCount,
    prepared: null,
    ...(await measure(name, workload, {
      ...options,
      precision,
      rate: false,
      baselineWorkload: workload,
    })),
    // Bantam's workers are threads and the baseline's are processes, so no figure compares.
    peakBytes: { bantam: null, baseline: null },
  };
}

async function prepareModel(
  { model, folder }: { model: string; folder: string },
  options: RunCasesOptions,
): Promise<Prepared> {
  await using bantam = startBantam(options);
  return await bantam.ask({
    op: 'prepare',
    folder,
    model,
    batch: options.batch,
    batches: batchCount,
    vocabulary: options.baseline?.facts.vocabulary ?? null,
  });
}

/** Finds the baseline's best settings, then measures alternately. */
async function measure(
  name: string,
  workload: Workload,
  options: RunCasesOptions & {
    precision: ModelCase['precision'];
    rate: boolean;
    baselineWorkload: Workload;
  },
): Promise<Pick<CaseResult, 'agreement' | 'trials' | 'settings' | 'repetitions' | 'peakBytes'>> {
  const { baseline, baselineWorkload, trials: how, repetitions, onProgress } = options;
  const found =
    baseline === null || how === 'none'
      ? { settings: usualSettings(baselineWorkload), trials: [] }
      : await findBestSettings(baselineWorkload, {
          ...options,
          python: baseline.python,
          compile: how === 'with-compile',
          onTrial: (settings) => {
            onProgress(name, `trying the baseline with ${describeSettings(settings)}`);
          },
        });
  const measured = await measureAlternately({
    ...options,
    workload,
    baseline: baseline && {
      start: () => startBaseline(baseline.python, options, found.settings),
      workload: baselineWorkload,
      settings: found.settings,
    },
    onRepetition: (repetition) => {
      onProgress(name, `repetition ${repetition + 1} of ${repetitions}`);
    },
  });
  return { ...measured, trials: found.trials, settings: baseline && found.settings };
}
