import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { readJson } from '../../base/json-file.js';
import { isObject } from '../../base/schema.js';
import { writeJson } from '../../models/index.js';
import {
  MANIFEST,
  MANIFEST_FORMAT,
  type ExportedFiles,
  type ExportManifest,
} from '../directory/manifest.js';
import { exportOnnx, type ExportOnnxOptions } from '../export-onnx.js';
import type { ExportPrecision } from '../model-graph.js';

export interface WebModelOptions extends Omit<ExportOnnxOptions, 'precisions' | 'force'> {
  readonly precisions: readonly ExportPrecision[];
}

/** The members of a manifest that {@link writeWebModel} needs and changes. */
type WebManifest = Pick<ExportManifest, 'embedDim' | 'description' | 'precisions' | 'graphs'>;

/**
 * Writes a model for the browser: the graphs of its towers, without the one that has both. The source
 * is a model directory, or what `bantam export --to onnx` made of one.
 *
 * @throws BantamError as {@link exportOnnx}, and if an exported directory lacks a precision.
 */
export async function writeWebModel(
  source: string,
  folder: string,
  { precisions, ...options }: WebModelOptions,
): Promise<WebManifest> {
  if (await isExported(source)) await copyExported(source, folder, precisions);
  else await exportOnnx(source, folder, { ...options, precisions });
  return dropJoint(folder);
}

/** True if a directory is what `bantam export --to onnx` makes of a model. */
export async function isExported(source: string): Promise<boolean> {
  const manifest = await readJson(join(source, MANIFEST), 'model').catch(() => undefined);
  return isObject(manifest) && manifest.format === MANIFEST_FORMAT;
}

async function copyExported(
  source: string,
  folder: string,
  precisions: readonly ExportPrecision[],
): Promise<void> {
  const manifest = (await readJson(join(source, MANIFEST), 'model')) as ExportManifest;
  const missing = precisions.find((name) => manifest.precisions[name] === undefined);
  if (missing !== undefined) {
    throw new BantamError(
      `${source} has no graphs in ${missing}, only in ${Object.keys(manifest.precisions).join(', ')}; choose with --precision, or export it again.`,
    );
  }
  const kept = Object.entries(manifest.precisions).filter(([name]) =>
    precisions.some((wanted) => wanted === name),
  );
  const graphs = kept.flatMap(([, { image, text, externalData }]) =>
    [image, text].flatMap((file) => (externalData ? [file, `${file}_data`] : [file])),
  );
  const others = (await readdir(source)).filter((file) => file.endsWith('.json'));
  for (const file of [...others, ...graphs]) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    // A graph may have no weights outside of it, though others have.
    await cp(join(source, file), join(folder, file)).catch((error: unknown) => {
      if (!file.endsWith('_data')) throw error;
    });
  }
  await writeJson(join(folder, MANIFEST), { ...manifest, precisions: Object.fromEntries(kept) });
}

/** Files of a precision, of which a page has all but `both`. */
type WebFiles = Omit<ExportedFiles, 'both'> & Partial<Pick<ExportedFiles, 'both'>>;

/** Removes the graphs of both towers in one, and their mention in the manifest. */
async function dropJoint(folder: string): Promise<WebManifest> {
  const path = join(folder, MANIFEST);
  const manifest = (await readJson(path, 'model')) as ExportManifest;
  const { image, text } = manifest.graphs;
  const precisions: Record<string, unknown> = {};
  for (const [name, exported] of Object.entries<WebFiles>(manifest.precisions)) {
    // A page's model, which may be exported again, has no such graph.
    const { both, bytes, ...files } = exported;
    if (both !== undefined) {
      for (const file of [both, `${both}_data`]) await rm(join(folder, file), { force: true });
    }
    precisions[name] = { ...files, bytes: { image: bytes.image, text: bytes.text } };
  }
  await writeJson(path, { ...manifest, graphs: { image, text }, precisions });
  return manifest;
}
