import { copyFile, cp, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fromTypedArray, saveSafetensors, scope } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { genericTemplates, openEmbeddings, type EmbeddingFile } from '../../eval/index.js';
import { writeFolder } from '../../models/index.js';
import { describeIndex, type DescribedIndex, type DescribeIndexOptions } from './index-items.js';
import { loadPagePackage, type PagePackage } from './page-package.js';

/** Number formats of an exported model, by transformers.js's names. */


export type WebDtype = 'fp32' | 'fp16' | 'q8';

export interface ExportWebOptions extends DescribeIndexOptions {
  /** Writes the model, in the format that `bantam export --to onnx` has, to a folder. */
  readonly writeModel: (folder: string) => Promise<void>;
  /** Dimensions of the model's features. */
  readonly embedDim: number;
  /** Number format that the page loads. */
  readonly dtype: WebDtype;
  /** File that `bantam embed` wrote, of the images to search. Default: only images that users add. */
  readonly index?: string;
  /** Labels that the page begins with. Default: the classes of the index's source, if it has any. */
  readonly labels?: readonly string[];
  /** Title of the page. Default: `Image search`. */
  readonly title?: string;
}

/** Classes of a source that are labels to begin with: more take long to encode, and to read. */
const mostLabels = 100;

/** Result of {@link exportWeb}. */
export interface WebExport {
  /** Images of the index. */
  readonly images: number;
  /** Images without a thumbnail. */
  readonly missing: readonly string[];
  readonly files: number;
  readonly bytes: number;
}

/** What {@link exportWeb} writes, which a later export replaces. */
const own =
  /^(index\.html|page\.(css|js|json)|worker\.js|chunk-.*|.*\.LEGAL\.txt|_headers|model|runtime|index|thumbnails)$/;

/**
 * Writes a folder that is a web page: the model, the images of an index with thumbnails, ONNX
 * Runtime, and the page itself. It needs a server of files and nothing else; nothing is fetched from
 * another host. The folder appears whole or not at all.
 *
 * @throws BantamError if `@bantam/web` is not installed, the index is of another model, or the
 * folder holds other files.
 */
export async function exportWeb(out: string, options: ExportWebOptions): Promise<WebExport> {
  const page = await loadPagePackage();
  const file = options.index === undefined ? undefined : openEmbeddings(options.index);
  if (file !== undefined && file.index.width !== options.embedDim) {
    throw new BantamError(
      `${String(options.index)} has ${file.index.width} dimensions and the model ${options.embedDim}; embed the images with this model.`,
    );
  }
  let described: DescribedIndex | undefined;
  let written = { files: 0, bytes: 0 };
  await writeFolder(
    out,
    (name) => own.test(name),
    async (draft) => {
      await options.writeModel(join(draft, 'model'));
      if (file !== undefined) described = await writeIndex(file, draft, options);
      await copyPage(page, draft);
      await writeFile(join(draft, 'page.json'), pageJson(options, described));
      written = await measure(draft);
    },
  );
  const { items = [], missing = [] } = described ?? {};
  return { images: items.length, missing, ...written };
}

async function writeIndex(
  file: EmbeddingFile,
  folder: string,
  options: DescribeIndexOptions,
): Promise<DescribedIndex> {
  await mkdir(join(folder, 'index'));
  const described = await describeIndex(file, folder, options);
  await writeFile(join(folder, 'index', 'items.json'), JSON.stringify(described.items));
  const { index } = file;
  scope(() => {
    const image = fromTypedArray(index.features, { shape: [index.size, index.width] });
    saveSafetensors(join(folder, 'index', 'embeddings.safetensors'), new Map([['image', image]]), {
      metadata: { keys: JSON.stringify(index.keys) },
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
  { title = 'Image search', dtype, labels }: ExportWebOptions,
  described: DescribedIndex | undefined,
): string {
  const licences = described?.licences.map(({ part, licence, attribution }) => {
    return { part, licence, attribution };
  });
  const config = {
    formatVersion: 1,
    title,
    model: 'model/',
    dtype,
    runtime: 'runtime/',
    index:
      described === undefined
        ? null
        : { embeddings: 'index/embeddings.safetensors', items: 'index/items.json' },
    labels: labels ?? described?.labelSet?.classes.slice(0, mostLabels) ?? [],
    templates: described?.labelSet?.templates ?? genericTemplates,
    licences: licences ?? [],
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
