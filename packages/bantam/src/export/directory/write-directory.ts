import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { readJson } from '../../base/json-file.js';
import { isObject } from '../../base/schema.js';
import { describeModel, tokenizerFiles, writeJson, type LoadedModel } from '../../models/index.js';
import type { ExportCheck } from '../check/check.js';
import { graphParts, modelGraph, type ExportPrecision, type GraphPart } from '../model-graph.js';
import { writeOnnx } from '../onnx/write-onnx.js';
import type { TowerPrograms } from '../towers/tower-graph.js';
import { hubConfig, hubPreprocess } from './hub-files.js';
import {
  graphNames,
  MANIFEST,
  MANIFEST_FORMAT,
  MANIFEST_VERSION,
  manifestLogits,
  type ExportedFiles,
  type ExportManifest,
  type ManifestTokenizer,
} from './manifest.js';

const GRAPHS = 'onnx';

const own = [MANIFEST, 'config.json', 'preprocessor_config.json', GRAPHS, ...tokenizerFiles];

/** True if a file of this name may be a part of an exported directory, and so be replaced by another. */
export function isExported(file: string): boolean {
  return own.includes(file);
}

/** File names of the graphs, as transformers.js looks for them. */
const stems: Readonly<Record<GraphPart, string>> = {
  image: 'vision_model',
  text: 'text_model',
  both: 'model',
};

const suffixes: Readonly<Record<ExportPrecision, string>> = {
  fp32: '',
  fp16: '_fp16',
  q8: '_quantized',
};

/** The files of all exported precisions. */
export type FilesByPrecision = Readonly<Partial<Record<ExportPrecision, ExportedFiles>>>;

/** Options of {@link writeGraphs}. */
export interface WriteGraphsOptions {
  readonly programs: TowerPrograms;
  readonly precisions: readonly ExportPrecision[];
  readonly externalDataAbove?: number | undefined;
  readonly onGraph?: (file: string) => void;
}

/** Writes the graphs of a model to `directory/onnx`. */
export async function writeGraphs(
  directory: string,
  { config, model }: LoadedModel,
  { programs, precisions, externalDataAbove, onGraph }: WriteGraphsOptions,
): Promise<FilesByPrecision> {
  mkdirSync(join(directory, GRAPHS));
  const files: Partial<Record<ExportPrecision, ExportedFiles>> = {};
  for (const precision of precisions) {
    const path = (part: GraphPart) => `${GRAPHS}/${stems[part]}${suffixes[precision]}.onnx`;
    const bytes = { image: 0, text: 0, both: 0 };
    let externalData = false;
    for (const part of graphParts) {
      onGraph?.(path(part));
      const graph = modelGraph(model, { programs, part, precision });
      const written = await writeOnnx(join(directory, path(part)), graph, {
        metadata: { model: describeModel(config), precision },
        ...(externalDataAbove !== undefined && { externalAbove: externalDataAbove }),
      });
      bytes[part] = written.bytes;
      externalData ||= written.external;
    }
    files[precision] = {
      image: path('image'),
      text: path('text'),
      both: path('both'),
      bytes,
      externalData,
    };
  }
  return files;
}

/** Writes all but graphs and manifest: configuration, preprocessing and tokenizer. */
export async function writeHubFiles(
  directory: string,
  { config, preprocess, tokenizer }: LoadedModel,
  files: FilesByPrecision,
): Promise<void> {
  await tokenizer.save(directory);
  const externalData = Object.values(files).some((one) => one.externalData);
  await writeJson(join(directory, 'config.json'), hubConfig(config, { tokenizer, externalData }));
  await writeJson(join(directory, 'preprocessor_config.json'), hubPreprocess(config, preprocess));
}

/** Options of {@link writeManifest}. */
export interface WriteManifestOptions {
  readonly modelHash: string;
  readonly files: FilesByPrecision;
  readonly check: ExportCheck | null;
}

/** Writes the manifest, beside the files of {@link writeHubFiles}. */
export async function writeManifest(
  directory: string,
  loaded: LoadedModel,
  { modelHash, files, check }: WriteManifestOptions,
): Promise<ExportManifest> {
  const { config, model, preprocess } = loaded;
  const manifest: ExportManifest = {
    format: MANIFEST_FORMAT,
    version: MANIFEST_VERSION,
    modelHash,
    description: describeModel(config),
    embedDim: config.embedDim,
    preprocess,
    tokenizer: await manifestTokenizer(directory, loaded),
    logits: manifestLogits(model),
    graphs: graphNames(config),
    precisions: files,
    check,
  };
  await writeJson(join(directory, MANIFEST), manifest);
  return manifest;
}

async function manifestTokenizer(
  directory: string,
  { tokenizer }: LoadedModel,
): Promise<ManifestTokenizer> {
  const { contextLength, vocabSize, sotId, eotId, padId } = tokenizer;
  const member = async (file: string, key: string, inner: string): Promise<string> => {
    const document = await readJson(join(directory, file), 'tokenizer');
    const outer = isObject(document) ? document[key] : undefined;
    return String(isObject(outer) ? outer[inner] : 'none');
  };
  const known = (id: number) => (id < 0 ? null : id);
  return {
    kind: await member('tokenizer.json', 'model', 'type'),
    clean: await member('tokenizer_config.json', 'bantam', 'clean'),
    contextLength,
    vocabSize,
    startId: known(sotId),
    endId: known(eotId),
    padId,
  };
}
