import { rename, writeFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import type { Device } from '@bantam/torch';
import { at } from '../base/at.js';
import { precisionName } from '../base/precision-name.js';
import { resolvePrecision } from '../base/precision.js';
import { openSource } from '../data/index.js';
import { loadForInference, type EmbedProgress, type EvaluationResult } from '../eval/index.js';
import { inspectCpu } from '../machine/index.js';
import { parameterCount } from '../models/index.js';
import { embedToFile } from '../search/index.js';
import { gatherEvaluation, renderReport, type RunFacts } from '../report/index.js';
import { readMetrics, readRunConfig, readValidations } from '../train/index.js';
import { quickstartPaths } from './files.js';
import { nextSteps } from './next-steps.js';
import type { QuickstartPreset } from './preset.js';

export interface EvaluateQuickstartOptions {
  readonly out: string;
  readonly preset: QuickstartPreset;
  /** Device of the model and of the run, as its report names it; `auto` is a GPU if there is one. */
  readonly device: string;
  readonly onProgress: (progress: EmbedProgress & { readonly dataset: string }) => void;
}

/**
 * Evaluates the model of a quickstart and writes the search index, `evaluation.json`, and
 * last of all the report.
 */
export async function evaluateQuickstart({
  out,
  preset,
  device,
  onProgress,
}: EvaluateQuickstartOptions): Promise<readonly EvaluationResult[]> {
  const paths = quickstartPaths(out);
  const model = await loadForInference(paths.model, { precision: 'auto', device });
  const { queries, answered, evaluation, index } = preset;
  const options = { queries, answered, precision: model.precision, onProgress };
  const gathered = await gatherEvaluation(model.loaded, [evaluation], options);
  await embedToFile(model, await openSource(index), paths.index, {
    onProgress: (progress) => {
      onProgress({ ...progress, dataset: 'the search index' });
    },
  });
  await writeFile(paths.evaluation, `${JSON.stringify(gathered.results, null, 2)}\n`);
  const report = renderReport({
    title: 'Bantam quickstart: a CLIP of the emoji',
    date: new Date(),
    run: await runFacts(out, preset, model.loaded.model.logitScale.device),
    metrics: readMetrics(out),
    validations: readValidations(out),
    next: nextSteps(out),
    ...gathered,
  });
  // Whole or not at all, as it marks the quickstart as finished.
  await writeFile(`${paths.report}.partial`, report);
  await rename(`${paths.report}.partial`, paths.report);
  return gathered.results;
}

async function runFacts(out: string, preset: QuickstartPreset, device: Device): Promise<RunFacts> {
  const { model, train, data, seed, budget } = readRunConfig(out);
  const { samples, seconds } = at(readMetrics(out), -1);
  const { name, cores, matrix } = await inspectCpu();
  const units = matrix.some((flag) => flag.startsWith('amx')) ? ['AMX'] : [];
  const memory = `${(totalmem() / 1e9).toFixed(0)} GB`;
  return {
    model: preset.model,
    parameters: parameterCount(model).total,
    data,
    samplesSeen: samples,
    seconds,
    machine: [...(device === 'cpu' ? [] : [device]), `${cores} cores`, name, ...units, memory].join(
      ', ',
    ),
    batchSize: train.batchSize,
    precision: precisionName(resolvePrecision(train.precision, device)),
    seed,
    more: { Budget: budget },
  };
}
