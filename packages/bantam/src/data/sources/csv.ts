/**
 * Parses delimiter-separated text (RFC 4180): fields may be quoted, and then hold the separator,
 * line breaks and doubled quotes. Empty lines are skipped. Returns the rows with their fields.
 */
export function parseCsv(text: string, separator: string): string[][] {
  const rows: string[][] = [];
  const end = new RegExp(`[${separator.replace(/[\\\]^-]/, '\\$&')}\r\n]`, 'g');
  let row: string[] = [];
  let position = text.startsWith('\ufeff') ? 1 : 0;
  while (position < text.length) {
    let field = '';
    if (text[position] === '"') {
      const quoted = quotedField(text, position + 1);
      field = quoted.field;
      position = quoted.end;
    }
    const rest = position;
    end.lastIndex = position;
    position = end.exec(text)?.index ?? text.length;
    row.push(field + text.slice(rest, position));
    if (text[position] === separator && position + 1 < text.length) {
      position++;
      continue;
    }
    if (text[position] === separator) row.push('');
    if (text[position] === '\r' && text[position + 1] === '\n') position++;
    position++;
    if (row.length > 1 || row[0] !== '') rows.push(row);
    row = [];
  }
  return rows;
}

/** Reads a quoted field from behind its opening quote; `end` is behind the closing one. */
function quotedField(text: string, start: number): { field: string; end: number } {
  let field = '';
  for (;;) {
    const quote = text.indexOf('"', start);
    if (quote < 0) return { field: field + text.slice(start), end: text.length };
    field += text.slice(start, quote);
    if (text[quote + 1] !== '"') return { field, end: quote + 1 };
    field += '"';
    start = quote + 2;
  }
}
