import { join } from 'node:path';
import { at } from '@bantam/torch/at';
import { BantamError } from 'bantam/internal';
import { onnxExporter } from './baseline.js';
import { optimizer } from './cases.js';
import { measureAlternately } from './measure.js';
import type { Prepared } from './protocol.js';
import type { CaseResult, SkippedCase } from './results.js';
import { runProgram } from './run-program.js';
import type { Session } from './session.js';
import { TemporaryFolder } from './temporary-folder.js';
import { startBantam, startOnnx } from './workers.js';

/** Precision of Bantam and of the graph, whose int8 weights others call q8. */
export type OnnxPrecision = 'fp32' | 'int8';

/** Options of {@link measureOnnx}. */
export interface OnnxOptions extends Session {
  readonly models: readonly string[];
  readonly precisions: readonly OnnxPrecision[];
  /** Samples of a call. */
  readonly batches: readonly number[];
  readonly repetitions: number;
  readonly sliceSeconds: number;
  /** Told what is going on. */
  readonly onProgress: (what: string, detail: string) => void;
  /** Told of each case when it is done. */
  readonly onResult: (result: CaseResult | SkippedCase) => void;
}

/** Batches that a workload repeats in order. */
const batchCount = 3;

/**
 * Images and captions per second beside ONNX Runtime in Node, on graphs that the baseline's Python
 * exports from OpenCLIP with the same weights; a batch of 1 gives the latency.
 *
 * @throws BantamError when there is no Python that exports, or the export fails.
 */
export async function measureOnnx(
  options: OnnxOptions,
): Promise<{ cases: CaseResult[]; skipped: SkippedCase[] }> {
  const cases: CaseResult[] = [];
  const skipped: SkippedCase[] = [];
  for (const model of options.models) {
    using folder = new TemporaryFolder();
    options.onProgress(model, 'exporting graphs');
    const batch = Math.max(...options.batches);
    const { tokens } = await prepareModel(folder.path, { model, batch }, options);
    await exportGraphs(folder.path, tokens.longest, options);
    for (const batch of options.batches) {
      const prepared = await prepareModel(folder.path, { model, batch }, options);
      for (const kind of ['image', 'text'] as const) {
        for (const precision of options.precisions) {
          const one = { kind, model, precision, batch };
          const outcome = await measureCase(one, folder.path, prepared, options);
          options.onResult(outcome);
          if ('reason' in outcome) skipped.push(outcome);
          else cases.push(outcome);
        }
      }
    }
  }
  return { cases, skipped };
}

interface OnnxCase {
  readonly kind: 'image' | 'text';
  readonly model: string;
  readonly precision: OnnxPrecision;
  readonly batch: number;
}

async function measureCase(
  { kind, model, precision, batch }: OnnxCase,
  folder: string,
  prepared: Prepared,
  options: OnnxOptions,
): Promise<CaseResult | SkippedCase> {
  const { repetitions, onProgress } = options;
  const name = `onnx-${kind}/${model}/${precision}/${batch}`;
  try {
    const measured = await measureAlternately({
      ...options,
      workload: { kind, precision, device: 'cpu', folder, optimizer },
      // Its int8 has one scale for all rows of a batch, and rounds more coarsely.
      precision: precision === 'int8' ? 'q8' : precision,
      baseline: { start: () => startOnnx(options) },
      rate: false,
      onRepetition: (repetition) => {
        onProgress(name, `repetition ${repetition + 1} of ${repetitions}`);
      },
    });
    return {
      name,
      kind,
      model,
      precision,
      samplesPerStep: batch,
      prepared,
      trials: [],
      settings: null,
      ...measured,
    };
  } catch (error) {
    return { name, reason: error instanceof Error ? error.message : String(error) };
  }
}

async function prepareModel(
  folder: string,
  { model, batch }: { model: string; batch: number },
  options: OnnxOptions,
): Promise<Prepared> {
  await using bantam = startBantam(options);
  const vocabulary = options.baseline?.facts.vocabulary ?? null;
  return await bantam.ask({ op: 'prepare', folder, model, batch, batches: batchCount, vocabulary });
}

async function exportGraphs(
  folder: string,
  tokens: number,
  { baseline }: OnnxOptions,
): Promise<void> {
  if (baseline === null) throw new BantamError('Graphs are exported by the baseline alone.');
  const args = [onnxExporter, join(folder, 'model'), join(folder, 'onnx'), String(tokens)];
  const exported = await runProgram(baseline.python, args);
  if (exported.code === 0) return;
  const reason = at(exported.output.trim().split('\n'), -1);
  throw new BantamError(
    `The baseline could not export the model to ONNX (${reason}); install bench/requirements.txt into its Python.`,
  );
}
