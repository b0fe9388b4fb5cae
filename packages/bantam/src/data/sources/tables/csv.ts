/** A row of delimiter-separated text. */
export interface CsvRow {
  readonly cells: readonly string[];
  /** Start of each cell within the text, to join cells again. */
  readonly starts: readonly number[];
  /** First cell whose opening quote does not close: the next line may close it; −1 if there is none. */
  readonly open: number;
  /** Cells whose opening quote is text: it does not close, or text follows the closing quote. */
  readonly strays: readonly number[];
}

/**
 * Parses one row (RFC 4180): a cell within quotes may hold separators, line breaks and doubled
 * quotes. A quote opens a cell only if a quote closes it directly before a separator or the end;
 * every other quote is text, so that `"Vintage" lamp` keeps its quotes and a quote that never closes
 * swallows nothing. A cell that does not close so may have its quotes written with backslashes.
 */
export function parseRow(text: string, separator: string, quotes = true): CsvRow {
  const cells: string[] = [];
  const starts: number[] = [];
  const strays: number[] = [];
  let open = -1;
  if (!quotes || !text.includes('"')) {
    let start = 0;
    for (const cell of text.split(separator)) {
      cells.push(cell);
      starts.push(start);
      start += cell.length + 1;
    }
    return { cells, starts, open, strays };
  }
  for (let position = 0; ;) {
    starts.push(position);
    let opening = position;
    while (text[opening] === ' ') opening++;
    if (text[opening] === '"') {
      let closing = closingQuote(text, opening, separator);
      const isEscaped = closing.end < 0 && text.includes('\\"', opening);
      if (isEscaped) closing = closingQuote(text, opening, separator, true);
      if (closing.end >= 0) {
        const cell = text.slice(opening + 1, closing.quote);
        cells.push(
          isEscaped
            ? cell.replaceAll(/\\(["\\])|""/g, (_, escaped: string | undefined) => escaped ?? '"')
            : cell.replaceAll('""', '"'),
        );
        if (closing.end === text.length) break;
        position = closing.end + 1;
        continue;
      }
      strays.push(cells.length);
      if (closing.quote < 0 && open < 0) open = cells.length;
    }
    const next = text.indexOf(separator, position);
    cells.push(next < 0 ? text.slice(position) : text.slice(position, next));
    if (next < 0) break;
    position = next + 1;
  }
  return { cells, starts, open, strays };
}

/**
 * The quote that closes the one at `opening`, and the separator or the text's end behind it; `end` is
 * −1 if other text follows the quote, and `quote` as well if there is none.
 *
 * @param hasBackslashes Quotes are written `\\"`, as MySQL and pandas' `escapechar` do, beside `""`.
 */
function closingQuote(
  text: string,
  opening: number,
  separator: string,
  hasBackslashes = false,
): { quote: number; end: number } {
  let quote = opening;
  for (;;) {
    quote = text.indexOf('"', quote + 1);
    if (quote < 0) return { quote, end: -1 };
    if (hasBackslashes && isEscapedAt(text, quote)) continue;
    if (text[quote + 1] !== '"') break;
    quote++;
  }
  let end = quote + 1;
  while (text[end] === ' ') end++;
  return { quote, end: end === text.length || text[end] === separator ? end : -1 };
}

/** An odd number of backslashes is before a quote. */
function isEscapedAt(text: string, quote: number): boolean {
  let start = quote;
  while (text[start - 1] === '\\') start--;
  return (quote - start) % 2 === 1;
}
