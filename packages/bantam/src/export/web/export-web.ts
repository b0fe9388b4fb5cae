import { copyFile, cp, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fromTypedArray, indexSelect, saveSafetensors, scope } from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { genericTemplates } from '../../eval/index.js';
import { loadModel, writeFolder } from '../../models/index.js';
import { identifyModel, openStore, type VectorStore } from '../../search/index.js';
import { requireFree } from '../export-onnx.js';
import type { ExportPrecision } from '../model-graph.js';
import { describeIndex, type DescribedIndex } from './index-items.js';
import { loadPagePackage, type PagePackage } from './page-package.js';
import { isExported, writeWebModel } from './web-model.js';

/** State of an export for the web. */
export interface WebProgress {
  readonly stage: 'model' | 'thumbnails';
  readonly detail: string;
}

export interface ExportWebOptions {
  /** Number formats that the page may load, see `@bantam/web`. Default: `q8`, the smallest download. */
  readonly precisions?: readonly ExportPrecision[];
  /** Compare the graphs with the model by ONNX Runtime. Default true. */
  readonly check?: boolean;
  /** Data on which the check compares features. */
  readonly data?: string;
  /** OpenAI's vocabulary, for directories without a tokenizer. */
  readonly merges?: string;
  /** Replace an earlier export. Default false. */
  readonly force?: boolean;
  /** Index of `bantam index` or file of `bantam embed`, of the images to search. Default: only images that users add. */
  readonly index?: string;
  /** Folder of the index's images, if the source that was embedded is gone. */
  readonly images?: string;
  /** Labels that the page begins with. Default: classes of the index's source, if it has any. */
  readonly labels?: readonly string[];
  /** Title of the page. Default: `Image search`. */
  readonly title?: string;
  readonly onProgress?: (progress: WebProgress) => void;
}

/** Classes of a source that are labels to begin with: more take long to encode, and to read. */
const mostLabels = 100;

/** Result of {@link exportWeb}. */
export interface WebExport {
  readonly description: string;
  readonly precisions: readonly string[];
  /** Images of the index. */
  readonly images: number;
  /** Images without a thumbnail. */
  readonly missing: readonly string[];
  readonly files: number;
  readonly bytes: number;
}

/** Files that {@link exportWeb} writes, which a later export replaces. */
const own =
  /^(index\.html|page\.(css|js|json)|worker\.js|chunk-.*|.*\.LEGAL\.txt|_headers|model|runtime|index|thumbnails)$/;

/**
 * Writes a folder that is a web page: the model, the images of an index with thumbnails, ONNX
 * Runtime, and the page itself. It needs a server of files and nothing else; nothing is fetched from
 * another host. The folder appears whole or not at all.
 *
 * @param model a model directory, or what `bantam export --to onnx` made of one
 * @throws BantamError if `@bantam/web` is not installed, the model cannot be exported, the index is
 * of another model, or the folder holds other files.
 */
export async function exportWeb(
  model: string,
  out: string,
  options: ExportWebOptions = {},
): Promise<WebExport> {
  const { precisions = ['q8'], force = false } = options;
  await requireFree(out, force);
  const page = await loadPagePackage();
  const store = options.index === undefined ? undefined : await openStore(options.index);
  try {
    return await writePage({ model, out, page, store, options: { ...options, precisions } });
  } finally {
    store?.close();
  }
}

interface PageParts {
  readonly model: string;
  readonly out: string;
  readonly page: PagePackage;
  /** Images to search. */
  readonly store: VectorStore | undefined;
  readonly options: ExportWebOptions & { readonly precisions: readonly ExportPrecision[] };
}

async function writePage({ model, out, page, store, options }: PageParts): Promise<WebExport> {
  const { precisions, onProgress } = options;
  await requireSameModel(model, store, options);
  const results: WebExport[] = [];
  await writeFolder(
    out,
    (name) => own.test(name),
    async (draft) => {
      const { embedDim, ...manifest } = await writeWebModel(model, join(draft, 'model'), {
        ...options,
        precisions,
        onProgress: ({ detail }) => onProgress?.({ stage: 'model', detail }),
      });
      requireSameWidth(store, embedDim, options);
      const described = store === undefined ? null : await writeIndex(store, draft, options);
      await copyPage(page, draft);
      await writeFile(join(draft, 'page.json'), pageJson(options, described));
      results.push({
        description: manifest.description,
        precisions: Object.keys(manifest.precisions),
        images: described?.items.length ?? 0,
        missing: described?.missing ?? [],
        ...(await measure(draft)),
      });
    },
  );
  return at(results, 0);
}

/** @throws BantamError if the index knows its model, and it is another than the directory's. */
async function requireSameModel(
  name: string,
  store: VectorStore | undefined,
  { index = '', merges }: ExportWebOptions,
): Promise<void> {
  const { hash, path } = store?.model ?? {};
  // An exported directory has no weights by which a model is known.
  if (hash === undefined || (await isExported(name))) return;
  const loaded = await loadModel(name, merges === undefined ? {} : { merges });
  using model = loaded.model;
  const own = await identifyModel({ name, loaded: { ...loaded, model }, precision: 'float32' });
  if (own.hash === hash) return;
  throw new BantamError(
    `${index} was embedded with another model${path === undefined ? '' : ` (${path})`} than ${name}; export that model, or embed the images with this one.`,
  );
}

function requireSameWidth(
  store: VectorStore | undefined,
  embedDim: number,
  { index = '' }: ExportWebOptions,
): void {
  if (store === undefined || store.images.dim(1) === embedDim) return;
  throw new BantamError(
    `${index} has ${store.images.dim(1)} dimensions and the model ${embedDim}; embed the images with this model.`,
  );
}

async function writeIndex(
  store: VectorStore,
  folder: string,
  { images, onProgress }: ExportWebOptions,
): Promise<DescribedIndex> {
  await mkdir(join(folder, 'index'));
  const described = await describeIndex(store, folder, {
    ...(images !== undefined && { images }),
    onProgress: (done, total) =>
      onProgress?.({ stage: 'thumbnails', detail: `${done} of ${total}` }),
  });
  await writeFile(join(folder, 'index', 'items.json'), JSON.stringify(described.items));
  const rows = BigInt64Array.from(store.records(), ([row]) => BigInt(row));
  scope(() => {
    const image = indexSelect(store.images, 0, fromTypedArray(rows));
    saveSafetensors(join(folder, 'index', 'embeddings.safetensors'), new Map([['image', image]]), {
      metadata: { keys: JSON.stringify(described.items.map(({ key }) => key)) },
    });
  });
  return described;
}

async function copyPage(
  { pageFolder, runtimeFiles, pageHeaders }: PagePackage,
  folder: string,
): Promise<void> {
  await cp(pageFolder, folder, { recursive: true });
  await mkdir(join(folder, 'runtime'));
  for (const file of runtimeFiles) await copyFile(file, join(folder, 'runtime', basename(file)));
  // Hosts of static pages (Netlify, Cloudflare Pages) read this file.
  const lines = Object.entries(pageHeaders).map(([name, value]) => `  ${name}: ${value}\n`);
  await writeFile(join(folder, '_headers'), `/*\n${lines.join('')}`);
}

function pageJson(
  { title = 'Image search', labels }: ExportWebOptions,
  described: DescribedIndex | null,
): string {
  const { labelSet = null, licences = [] } = described ?? {};
  const config = {
    formatVersion: 1,
    title,
    model: 'model/',
    runtime: 'runtime/',
    index:
      described === null
        ? null
        : { embeddings: 'index/embeddings.safetensors', items: 'index/items.json' },
    labels: labels ?? labelSet?.classes.slice(0, mostLabels) ?? [],
    templates: labelSet?.templates ?? genericTemplates,
    licences: licences.map(({ part, licence, attribution }) => ({ part, licence, attribution })),
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

async function measure(folder: string): Promise<{ files: number; bytes: number }> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size),
  );
  return { files: files.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}
