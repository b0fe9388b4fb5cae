import { at } from '../base/at.js';
import { formatInterval, formatMetric, metricTables, type MetricTable } from './tables.js';
import type { EvaluationResult } from './tasks/result.js';

/** Longest line of a table, in characters. */
const lineWidth = 80;

/** Longest name of a data set that has its values on the same line. */
const nameWidth = 24;

/**
 * Results as aligned text for a terminal, 80 columns wide: each value, below it its 95 % interval
 * where there is one, and what chance would give.
 */
export function formatTable(results: readonly EvaluationResult[]): string {
  return metricTables(results).map(formatMetricTable).join('\n\n');
}

/** A line of a table: its name, its number of images, and a text for each column. */
interface Line {
  readonly name: string;
  readonly samples: string;
  readonly cells: readonly string[];
}

/** One table as aligned text. Chance levels that all data sets share are its last line. */
export function formatMetricTable({ title, note, columns, rows }: MetricTable): string {
  const chances = rows.map(({ cells }) =>
    cells.map(({ chance }, column) => formatMetric(chance, at(columns, column).kind)),
  );
  const [shared = []] = chances;
  const isShared = chances.every((own) => own.join() === shared.join());
  const chanceLine = (cells: readonly string[], name: string): Line => ({
    name,
    samples: '',
    cells,
  });
  const body = rows.flatMap(({ dataset, samples, cells }, row): Line[] => {
    const values = cells.map(({ value }, column) => formatMetric(value, at(columns, column).kind));
    const intervals = cells.map(({ interval }, column) =>
      formatInterval(interval, at(columns, column).kind),
    );
    return [
      { name: dataset, samples: String(samples), cells: values },
      ...(intervals.some(Boolean) ? [{ name: '  95 %', samples: '', cells: intervals }] : []),
      ...(isShared ? [] : [chanceLine(at(chances, row), '  chance')]),
    ];
  });
  const lines = [...body, ...(isShared ? [chanceLine(shared, 'chance')] : [])];
  const head: Line = {
    name: '',
    samples: 'images',
    cells: columns.map(({ name }) => name),
  };
  return [
    title,
    ...columnParts([head, ...lines]).map((part) => align(part)),
    ...(note === undefined ? [] : [wrapText(note)]),
  ].join('\n');
}

/** The table itself, or parts of its columns of which each fits the line. */
function columnParts(lines: readonly Line[]): Line[][] {
  const [head] = lines;
  const names = Math.min(nameWidth, longest(lines.map(({ name }) => name)));
  const room = lineWidth - names - 2 - longest(lines.map(({ samples }) => samples));
  const parts: number[][] = [];
  let left = 0;
  for (const column of (head?.cells ?? []).keys()) {
    const width = 2 + longest(lines.map(({ cells }) => at(cells, column)));
    if (parts.length === 0 || width > left) {
      parts.push([]);
      left = room;
    }
    parts.at(-1)?.push(column);
    left -= width;
  }
  return parts.map((columns) =>
    lines.map((line) => ({ ...line, cells: columns.map((column) => at(line.cells, column)) })),
  );
}

function longest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map(({ length }) => length));
}

/** Cells in columns: the first to the left, all others to the right. */
export function alignCells(rows: readonly (readonly string[])[]): string {
  const [head = []] = rows;
  const widths = head.map((_, column) => longest(rows.map((row) => at(row, column))));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(at(widths, column)) : cell.padStart(at(widths, column)),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Pads to columns: names to the left, all else to the right. A long name has a line of its own. */
function align(lines: readonly Line[]): string {
  const short = lines.filter(({ name }) => name.length <= nameWidth);
  const names = longest(short.map(({ name }) => name));
  const samples = longest(lines.map((line) => line.samples));
  const widths = (lines[0]?.cells ?? []).map((_, column) =>
    longest(lines.map(({ cells }) => at(cells, column))),
  );
  return lines
    .flatMap((line) => {
      const isLong = line.name.length > nameWidth;
      const cells = line.cells.map((cell, column) => cell.padStart(at(widths, column)));
      const start = (isLong ? '' : line.name).padEnd(names);
      const text = [start, line.samples.padStart(samples), ...cells].join('  ').trimEnd();
      return isLong ? [line.name, text] : [text];
    })
    .join('\n');
}

/** Breaks each line of a text at spaces into lines of a width; longer words stay whole. */
export function wrapText(text: string, width = lineWidth): string {
  return text
    .split('\n')
    .flatMap((line) => {
      const lines: string[] = [];
      for (const word of line.split(' ')) {
        const last = lines.at(-1);
        if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
        else lines[lines.length - 1] = `${last} ${word}`;
      }
      return lines;
    })
    .join('\n');
}
