import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { BantamError, UsageError } from '../../base/errors.js';
import type { ExportWebOptions, WebExport } from '../../export/index.js';
import { formatBytes } from '../../base/format-bytes.js';
import { countOf } from '../../base/count-of.js';
import type { Outcome } from '../output.js';
import type { Progress } from '../progress.js';

/** Options of `bantam export --to web` alone. */
export interface WebFlags {
  readonly index?: string;
  readonly images?: string;
  readonly labels?: string;
  readonly title?: string;
}

/** Adds the options of `bantam export --to web`. */
export function addWebOptions(command: Command): void {
  command
    .option(
      '--index <path>',
      'web: images to search: folder of bantam index, or file of bantam embed',
    )
    .option(
      '--images <dir>',
      "web: folder of the index's images (default: where they were embedded)",
    )
    .option('--labels <file>', "web: labels, one per line (default: classes of the index's data)")
    .option('--title <text>', 'web: title of the page');
}

/** @throws UsageError for an option that another format does not have. */
export function refuseWebOptions({ index, images, labels, title }: WebFlags): void {
  const given = Object.entries({ index, images, labels, title });
  const [name] = given.find(([, value]) => value !== undefined) ?? [];
  if (name === undefined) return;
  throw new UsageError(`--${name} is for a page; use it with --to web.`);
}

export interface WebExportRun {
  readonly source: string;
  readonly out: string;
  readonly flags: WebFlags;
  /** Options that formats have in common. */
  readonly common: ExportWebOptions;
  readonly progress: Progress;
}

/** Writes the page and says how to serve it. */
export async function runWebExport({
  source,
  out,
  flags: { index, images, labels, title },
  common,
  progress,
}: WebExportRun): Promise<Outcome> {
  const { exportWeb } = await import('../../export/index.js');
  const stages = { model: 'Model', thumbnails: 'Thumbnails' };
  try {
    const result = await exportWeb(source, out, {
      ...common,
      ...(index !== undefined && { index }),
      ...(images !== undefined && { images }),
      ...(labels !== undefined && { labels: await readLabels(labels) }),
      ...(title !== undefined && { title }),
      onProgress: ({ stage, detail }) => {
        progress.update(stages[stage], detail);
      },
    });
    return { text: describe(result, out), json: { out, ...result } };
  } finally {
    progress.done();
  }
}

async function readLabels(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => {
    throw new BantamError(`The labels ${path} cannot be read; name a text file with one per line.`);
  });
  const labels = text.split(/\r?\n/).map((line) => line.trim());
  return [...new Set(labels.filter((label) => label !== ''))];
}

function describe(result: WebExport, out: string): string {
  const { description, precisions, images, missing, files, bytes } = result;
  const searched = images === 0 ? 'no index' : `${countOf(images, 'image')} to search`;
  const [first = ''] = missing;
  const lines = [
    `Exported ${description} (${precisions.join(', ')}), ${searched}: ${out} (${countOf(files, 'file')}, ${formatBytes(bytes)})`,
    ...(missing.length > 0
      ? [`Without a thumbnail: ${countOf(missing.length, 'image')}, such as ${first}`]
      : []),
    `Open it: npx bantam-web ${out}`,
  ];
  return lines.join('\n');
}
