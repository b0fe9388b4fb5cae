import { didYouMean } from '../../../base/did-you-mean.js';
import { BantamError } from '../../../base/errors.js';
import { commonCaptionNames } from '../captions.js';
import type { NoteBook } from '../notes.js';
import type { SourceSpec } from '../spec.js';

/** Common names of columns and fields with the path of an image. */
export const commonImageNames: readonly string[] = [
  ...['image', 'filepath', 'file', 'filename', 'file_name', 'path', 'image_path'],
];

/** The columns of a table by their role. */
export interface Columns {
  readonly header: readonly string[];
  readonly image: number;
  /** None if the captions are made of the label, or there are none. */
  readonly captions: readonly number[];
  /** −1 for none. */
  readonly label: number;
}

/**
 * The columns by the roles that a specification names, else by their usual names.
 *
 * @throws BantamError naming the columns that there are.
 */
export function columnsOf(spec: SourceSpec, cells: readonly string[]): Columns {
  const header = cells.map((cell) => cell.trim().normalize('NFC'));
  if (header.every((name) => name === '')) {
    throw new BantamError(`"${spec.path}" is empty; its first row names the columns.`);
  }
  // Spreadsheets leave columns without a name at the end.
  while (header.at(-1) === '') header.pop();
  return {
    header,
    image: columnOf(spec, header, { role: 'image', usual: commonImageNames }),
    captions: captionColumns(spec, header),
    label: spec.query.has('label') ? columnOf(spec, header, { role: 'label', usual: [] }) : -1,
  };
}

/** Says where captions come from if there is no column with them. */
export function noteCaptions(columns: number, hasLabel: boolean, notes: NoteBook): void {
  if (columns > 0) return;
  notes.info(
    hasLabel
      ? 'The captions are prompts made of the label.'
      : 'The images have no captions: they can be embedded and searched.',
  );
}

function captionColumns(spec: SourceSpec, header: readonly string[]): number[] {
  const role = 'caption';
  const wanted = spec.query.get(role)?.normalize('NFC');
  if (wanted === undefined) {
    const isMissing = !header.some((name) => isUsual(name, commonCaptionNames));
    // The captions of images with a class can be made of it.
    if (isMissing && spec.query.has('label')) return [];
    return [columnOf(spec, header, { role, usual: commonCaptionNames })];
  }
  if (wanted === 'none' && !header.includes(wanted)) return [];
  const names = header.includes(wanted) ? [wanted] : wanted.split(',');
  return names.map((name) => columnOf(spec, header, { role, usual: [], wanted: name.trim() }));
}

function isUsual(name: string, usual: readonly string[]): boolean {
  return usual.includes(name.toLowerCase());
}

function columnOf(
  spec: SourceSpec,
  header: readonly string[],
  {
    role,
    usual,
    wanted = spec.query.get(role)?.normalize('NFC'),
  }: {
    role: 'image' | 'caption' | 'label';
    usual: readonly string[];
    wanted?: string | undefined;
  },
): number {
  const column =
    wanted === undefined
      ? header.findIndex((name) => isUsual(name, usual))
      : header.indexOf(wanted);
  if (column >= 0) return column;
  const columns = header.join(', ');
  const isData = header.some((name) => /\.(jpe?g|png|webp|gif|tiff?|bmp|avif)$/i.test(name));
  if (isData || header[0]?.startsWith('#') === true) {
    throw new BantamError(
      `"${spec.path}" has no header: its first row is "${columns}"; write one above it that names the columns, such as "image,caption".`,
    );
  }
  throw new BantamError(
    wanted === undefined
      ? `"${spec.path}" has no column with a usual name for its ${role}; name one with ?${role}=COLUMN${orNone(role)}; it has ${columns}.`
      : `"${spec.path}" has no ${role} column "${wanted}"${didYouMean(wanted, header)}; it has ${columns}.`,
  );
}

/** The other remedy for a role that may have no column. */
export function orNone(role: string): string {
  return role === 'caption' ? ', or take the images alone with ?caption=none' : '';
}
