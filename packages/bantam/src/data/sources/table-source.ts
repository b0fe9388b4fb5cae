import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { commonCaptionNames } from './captions.js';
import { parseCsv } from './csv.js';
import { FileSource, type FileItem } from './file-source.js';
import { didYouMean } from '../../base/did-you-mean.js';
import { checkQuery, type SourceSpec } from './spec.js';
import type { Source } from './source.js';

const imageColumns = ['image', 'filepath', 'file', 'filename', 'file_name', 'path', 'image_path'];

/**
 * Opens a table of images and captions with a header row: `csv:pairs.csv`. Query, all optional:
 * `image`, `caption` and `label` name columns, `sep` is the separator (a tab for `.tsv`, else a
 * comma). Image paths are relative to the table. An image may have several rows, or a JSON list
 * of texts in its caption column, for several captions; the other columns become metadata.
 */
export async function openTable(spec: SourceSpec): Promise<Source> {
  checkQuery(spec, ['image', 'caption', 'label', 'sep']);
  const text = await readFile(spec.path, 'utf8').catch((error: unknown) => {
    throw new BantamError(
      `The table "${spec.path}" cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'}); name an existing file after "csv:".`,
    );
  });
  const separator = spec.query.get('sep') ?? (spec.path.endsWith('.tsv') ? '\t' : ',');
  if (separator.length !== 1) {
    throw new BantamError(`The separator "${separator}" of "${spec.text}" is not one character.`);
  }
  const [header = [], ...rows] = parseCsv(text, separator);
  const image = columnOf(spec, header, 'image', imageColumns);
  const caption = columnOf(spec, header, 'caption', commonCaptionNames);
  const label = spec.query.has('label') ? columnOf(spec, header, 'label', []) : -1;
  const extra = header.flatMap((name, column) =>
    column === image || column === caption || column === label ? [] : [{ name, column }],
  );

  const items = new Map<string, FileItem & { captions: string[] }>();
  for (const [number, row] of rows.entries()) {
    const path = row[image] ?? '';
    const captions = captionsOf(row[caption] ?? '');
    if (path === '' || captions.length === 0) {
      throw new BantamError(
        `Row ${number + 2} of "${spec.path}" has no ${path === '' ? 'image' : 'caption'}; fill in the field or remove the row.`,
      );
    }
    const known = items.get(path);
    if (known !== undefined) {
      known.captions.push(...captions);
      continue;
    }
    items.set(path, {
      key: path,
      path: resolve(dirname(spec.path), path),
      captions,
      ...(label >= 0 && { label: row[label] ?? '' }),
      meta: Object.fromEntries(extra.map(({ name, column }) => [name, row[column] ?? ''])),
    });
  }
  return new FileSource(spec.text, [...items.values()], { templates: ['{}', 'a photo of a {}.'] });
}

function columnOf(
  spec: SourceSpec,
  header: readonly string[],
  role: 'image' | 'caption' | 'label',
  usual: readonly string[],
): number {
  const wanted = spec.query.get(role);
  const column =
    wanted === undefined
      ? header.findIndex((name) => usual.includes(name.toLowerCase()))
      : header.indexOf(wanted);
  if (column >= 0) return column;
  const columns = header.join(', ');
  throw new BantamError(
    wanted === undefined
      ? `"${spec.path}" has no column with a usual name for its ${role}; name one with ?${role}=COLUMN, it has ${columns}.`
      : `"${spec.path}" has no ${role} column "${wanted}"${didYouMean(wanted, header)}; it has ${columns}.`,
  );
}

function captionsOf(field: string): string[] {
  if (field.startsWith('[')) {
    try {
      const list: unknown = JSON.parse(field);
      if (Array.isArray(list) && list.every((text) => typeof text === 'string')) {
        return list.filter((text) => text !== '');
      }
    } catch {
      // Not JSON: a caption may well begin with a bracket.
    }
  }
  return field === '' ? [] : [field];
}
