import { at } from '../base/at.js';
import { didYouMean } from '../base/did-you-mean.js';
import { BantamError, UsageError } from '../base/errors.js';
import type { IndexRecord } from './record-log.js';
import type { VectorStore } from './store.js';

const operators = ['!=', '<=', '>=', '=', '<', '>', '~'] as const;

/** A condition on a column: of the records' metadata, or `key`, `label`, `caption`. */
export interface Condition {
  readonly column: string;
  /** `=` and `!=` compare text, `<` … `>=` numbers; `~` holds where the text contains a value, whatever the case. */
  readonly operator: (typeof operators)[number];
  /** Alternatives: one of them has to hold, with `!=` all. */
  readonly values: readonly string[];
}

/**
 * Reads a condition as people write it: `category=Shoes`, `colour!=Black|Grey`, `price<50`, `title~summer`.
 *
 * @throws UsageError if it is none.
 */
export function parseCondition(text: string): Condition {
  const [, column = '', operator, value = ''] =
    /^([^=!<>~]+)(!=|<=|>=|=|<|>|~)(.*)$/s.exec(text) ?? [];
  const known = operators.find((name) => name === operator);
  if (known === undefined || column.trim() === '') {
    throw new UsageError(
      `The condition "${text}" cannot be read; write COLUMN=VALUE, or with !=, <, <=, >, >= or ~ (contains), and A|B for alternatives.`,
    );
  }
  const condition = {
    column: column.trim(),
    operator: known,
    values: value.split('|').map((item) => item.trim()),
  };
  if (comparesNumbers(condition)) boundOf(condition);
  return condition;
}

function comparesNumbers({ operator }: Condition): boolean {
  return operator !== '=' && operator !== '!=' && operator !== '~';
}

/** The number that a condition compares with. */
function boundOf({ column, operator, values }: Condition): number {
  const [value = '', ...more] = values;
  if (more.length === 0 && value !== '' && Number.isFinite(Number(value))) return Number(value);
  throw new UsageError(
    `The condition "${column}${operator}${values.join('|')}" compares numbers; write a number after ${operator}.`,
  );
}

/** A column of an index: a number for each distinct value, and the number of each row's value. */
interface Column {
  /** Distinct values; a row without the column has the code −1. */
  readonly values: readonly string[];
  readonly codes: Int32Array;
}

/** The rows that meet conditions. Columns are read once and kept: 4 bytes for each row, and each distinct value. */
export class RowFilter {
  readonly #store: VectorStore;
  readonly #columns = new Map<string, Column>();

  constructor(store: VectorStore) {
    this.#store = store;
  }

  /**
   * Rows that meet all conditions, ascending.
   *
   * @throws BantamError for a column that no record has, or one without numbers that is compared as such.
   */
  rows(conditions: readonly Condition[]): Int32Array {
    this.#load(conditions.map(({ column }) => column));
    const tests = conditions.map((condition) => {
      const { values, codes } = this.#column(condition.column);
      const holds = testOf(condition);
      if (comparesNumbers(condition) && !values.some(isNumber)) {
        throw new BantamError(
          `The column "${condition.column}" has no numbers, such as "${at(values, 0)}"; compare it with =, != or ~.`,
        );
      }
      return { codes, holds: values.map(holds), missing: condition.operator === '!=' };
    });
    const rows: number[] = [];
    for (let row = 0; row < this.#store.rows; row++) {
      if (this.#store.isRemoved(row)) continue;
      const meets = tests.every(({ codes, holds, missing }) => {
        const code = at(codes, row);
        return code < 0 ? missing : at(holds, code);
      });
      if (meets) rows.push(row);
    }
    return Int32Array.from(rows);
  }

  /** @throws BantamError for a column that no record has. */
  checkColumns(names: readonly string[]): void {
    this.#load(names);
  }

  #column(name: string): Column {
    const column = this.#columns.get(name);
    if (column !== undefined) return column;
    throw new RangeError(`The column ${name} is not loaded.`);
  }

  #load(names: readonly string[]): void {
    const missing = [...new Set(names)].filter((name) => !this.#columns.has(name));
    if (missing.length === 0) return;
    const building = missing.map((name) => ({
      name,
      codeOf: new Map<string, number>(),
      codes: new Int32Array(this.#store.rows).fill(-1),
    }));
    const known = new Set<string>();
    for (const [row, record] of this.#store.records()) {
      for (const name of namesOf(record)) known.add(name);
      for (const { name, codeOf, codes } of building) {
        const value = valueOf(record, name);
        if (value === undefined) continue;
        const code = codeOf.get(value) ?? codeOf.size;
        codeOf.set(value, code);
        codes[row] = code;
      }
    }
    for (const { name, codeOf, codes } of building) {
      if (codeOf.size === 0) {
        const columns = [...known].sort();
        throw new BantamError(
          `The index has no column "${name}"${didYouMean(name, columns)}; it has ${columns.join(', ')}.`,
        );
      }
      this.#columns.set(name, { values: [...codeOf.keys()], codes });
    }
  }
}

function namesOf({ meta = {}, ...own }: IndexRecord): string[] {
  return [...Object.keys(own).filter((name) => name !== 'stamp'), ...Object.keys(meta)];
}

/** A record's value in a column; the metadata come first. */
function valueOf(record: IndexRecord, name: string): string | undefined {
  const { key, label, caption, meta = {} } = record;
  if (Object.hasOwn(meta, name)) return meta[name];
  const own: Readonly<Record<string, string | undefined>> = { key, label, caption };
  return Object.hasOwn(own, name) ? own[name] : undefined;
}

function isNumber(value: string): boolean {
  return value.trim() !== '' && Number.isFinite(Number(value));
}

/** The test of a condition on one value. Accented letters may be composed or decomposed. */
function testOf(condition: Condition): (value: string) => boolean {
  const { operator } = condition;
  const composed = (value: string): string => value.normalize('NFC');
  const values = condition.values.map(composed);
  if (operator === '=') return (value) => values.includes(composed(value));
  if (operator === '!=') return (value) => !values.includes(composed(value));
  if (operator === '~') {
    const wanted = values.map((value) => value.toLowerCase());
    return (value) => wanted.some((text) => composed(value).toLowerCase().includes(text));
  }
  const bound = boundOf(condition);
  const compare = {
    '<': (x: number) => x < bound,
    '<=': (x: number) => x <= bound,
    '>': (x: number) => x > bound,
    '>=': (x: number) => x >= bound,
  }[operator];
  return (value) => isNumber(value) && compare(Number(value));
}
