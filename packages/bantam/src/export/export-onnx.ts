import { readdir } from 'node:fs/promises';
import { BantamError } from '../base/errors.js';
import { openSource } from '../data/index.js';
import { describeModel, loadModel, writeFolder, type LoadedModel } from '../models/index.js';
import { identifyModel } from '../search/index.js';
import { checkExport, type ExportCheck } from './check/check.js';
import { loadOnnxRuntime, type OnnxRuntime } from './check/runtime.js';
import type { ExportManifest } from './directory/manifest.js';
import {
  isExported,
  writeGraphs,
  writeHubFiles,
  writeManifest,
} from './directory/write-directory.js';
import { exportPrecisions, type ExportPrecision } from './model-graph.js';
import { recordTowers } from './towers/tower-graph.js';

/** State of an export. */
export interface ExportProgress {
  readonly stage: 'record' | 'write' | 'check';
  /** The model, a file, or a precision with the images done. */
  readonly detail: string;
}

/** Options of {@link exportOnnx}. */
export interface ExportOnnxOptions {
  /** Number formats. Default: all, `fp32`, `fp16` and `q8`. */
  readonly precisions?: readonly ExportPrecision[];
  /** Compare the graphs with the model by ONNX Runtime. Default true. */
  readonly check?: boolean;
  /** Data on which the check compares features, and measures zero-shot accuracy and retrieval. */
  readonly data?: string;
  /** Replace an earlier export. Default false. */
  readonly force?: boolean;
  /** OpenAI's vocabulary (`bpe_simple_vocab_16e6.txt.gz`), for directories without a tokenizer. */
  readonly merges?: string;
  /** Bytes of weights above which a graph has a file of its own for them. Default: nearly 2 GiB. */
  readonly externalDataAbove?: number;
  readonly onProgress?: (progress: ExportProgress) => void;
}

/** Result of {@link exportOnnx}. */
export interface OnnxExport {
  readonly directory: string;
  readonly manifest: ExportManifest;
  /** null: it was left out. */
  readonly check: ExportCheck | null;
}

/**
 * Writes a model as graphs of ONNX, in a directory that transformers.js loads: an image graph, a text
 * graph and one with both, in each precision. Branches and batch norms are merged where a model has
 * them; batch and text length are free. The directory appears whole or not at all.
 *
 * The graphs come from recordings of the towers' own operators, see {@link recordTowers}, so that one
 * list of translations exports every tower that Bantam runs.
 *
 * @throws BantamError if the model cannot be read, has an operator without translation, or its graphs
 * differ from it by more than the bounds of the check; if ONNX Runtime is not installed; if the
 * directory exists or cannot be written.
 */
export async function exportOnnx(
  source: string,
  directory: string,
  options: ExportOnnxOptions = {},
): Promise<OnnxExport> {
  const { check = true, force = false, merges, onProgress } = options;
  await requireFree(directory, force);
  const runtime = check ? await loadOnnxRuntime() : null;
  const loaded = await loadModel(source, { fused: true, ...(merges !== undefined && { merges }) });
  using model = loaded.model;
  // Throws if there is none: without a tokenizer the text graph is of no use.
  const { contextLength } = loaded.tokenizer;
  const detail = `${describeModel(model.config)}, texts of up to ${contextLength} tokens`;
  onProgress?.({ stage: 'record', detail });
  const { hash: modelHash } = await identifyModel({ name: source, loaded, precision: 'float32' });
  const written: OnnxExport[] = [];
  await writeFolder(directory, isExported, async (draft) => {
    const result = await writeExport(draft, loaded, { ...options, modelHash, runtime });
    written.push({ directory, ...result });
  });
  const [result] = written;
  if (result === undefined) throw new RangeError('Nothing was written.');
  return result;
}

async function writeExport(
  draft: string,
  loaded: LoadedModel,
  {
    precisions = exportPrecisions,
    externalDataAbove,
    data,
    modelHash,
    runtime,
    onProgress,
  }: ExportOnnxOptions & { modelHash: string; runtime: OnnxRuntime | null },
): Promise<Omit<OnnxExport, 'directory'>> {
  const source = data === undefined || runtime === null ? null : await openSource(data);
  const files = await writeGraphs(draft, loaded, {
    programs: recordTowers(loaded.config),
    precisions,
    externalDataAbove,
    onGraph: (detail) => onProgress?.({ stage: 'write', detail }),
  });
  await writeHubFiles(draft, loaded, files);
  const check =
    runtime &&
    (await checkExport(loaded, {
      runtime,
      directory: draft,
      files,
      source,
      onProgress: (name, done, total) =>
        onProgress?.({ stage: 'check', detail: `${name}, image ${done} of ${total}` }),
    }));
  return { manifest: await writeManifest(draft, loaded, { modelHash, files, check }), check };
}

/** @throws BantamError if there is a folder with files, and it is not to be replaced. */
export async function requireFree(directory: string, force: boolean): Promise<void> {
  if (force) return;
  const files = await readdir(directory).catch(() => []);
  if (files.length === 0) return;
  throw new BantamError(
    `${directory} exists already; name another folder, or replace an earlier export with --force.`,
  );
}
