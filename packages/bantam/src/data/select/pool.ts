/** The records that a subset is chosen from, with their scores. */
import { createHash } from 'node:crypto';
import { at } from '../../base/at.js';
import { didYouMean } from '../../base/did-you-mean.js';
import { BantamError } from '../../base/errors.js';
import type { Source } from '../sources/source.js';
import type { ScoreHeader, ScoreTable } from './score-file.js';

/** A score of every record of a pool. */
export type Column =
  | { readonly kind: 'numbers'; readonly values: Float64Array }
  | { readonly kind: 'texts'; readonly values: readonly (string | undefined)[] };

/**
 * Score files by prefix: the scores of `clean` are `clean.similarity`, …; those of an empty prefix
 * keep their names.
 */
export type ScoreTables = Readonly<Record<string, ScoreTable>>;

/** SHA-256 of the keys and captions of a source, in order: scores belong to these. */
export class SourceDigest {
  readonly #hash = createHash('sha256');

  add({ key, captions }: { key: string; captions: readonly string[] }): void {
    this.#hash.update(`${JSON.stringify([key, captions])}\n`);
  }

  get value(): string {
    return this.#hash.copy().digest('hex');
  }
}

/** Facts that tell a pool's data from others. */
interface PoolData {
  readonly spec: string;
  readonly digest: string;
}

/** A source's keys and scores, in the order of the source. */
export class Pool {
  readonly keys: readonly string[];
  /** Remarks about scores and records that do not match. */
  readonly notes: readonly string[];
  readonly headers: readonly ScoreHeader[];
  readonly #columns = new Map<string, Column>();

  private constructor(keys: readonly string[], tables: ScoreTables, data: PoolData) {
    this.keys = keys;
    this.headers = Object.values(tables).map(({ header }) => header);
    this.notes = Object.entries(tables).flatMap(([prefix, table]) =>
      this.#add(prefix, table, data),
    );
  }

  /**
   * Reads the keys of a source once and matches scores to them.
   *
   * @throws BantamError when scores are of other data, or two files have scores of one name.
   */
  static of(source: Source, tables: ScoreTables = {}): Pool {
    const keys: string[] = [];
    const digest = new SourceDigest();
    const isScored = Object.keys(tables).length > 0;
    for (let i = 0; i < source.size; i++) {
      const record = source.record(i);
      keys.push(record.key);
      if (isScored) digest.add(record);
    }
    return new Pool(keys, tables, { spec: source.spec, digest: digest.value });
  }

  get size(): number {
    return this.keys.length;
  }

  /** Names of the scores. */
  get names(): string[] {
    return [...this.#columns.keys()];
  }

  /** @throws BantamError for a score that no file has. */
  column(name: string): Column {
    const column = this.#columns.get(name);
    if (column !== undefined) return column;
    const known = this.names;
    throw new BantamError(
      known.length === 0
        ? `The score "${name}" needs a score file; make one with "bantam data score" and name it with --scores.`
        : `The scores have no "${name}"${didYouMean(name, known)}; they have ${known.join(', ')}.`,
    );
  }

  /** @throws BantamError for a score that no file has, or that is a text. */
  numbers(name: string): Float64Array {
    const column = this.column(name);
    if (column.kind === 'numbers') return column.values;
    throw new BantamError(`The score "${name}" is a text and has no order; name a number.`);
  }

  #add(prefix: string, table: ScoreTable, { spec, digest }: PoolData): string[] {
    const { rows, gone } = this.#match(table);
    const nameOf = (name: string): string => (prefix === '' ? name : `${prefix}.${name}`);
    const put = (name: string, column: Column): void => {
      if (this.#columns.has(nameOf(name))) {
        throw new BantamError(
          `Two score files have a score "${nameOf(name)}"; tell them apart by names, as in --scores a=FILE b=FILE.`,
        );
      }
      this.#columns.set(nameOf(name), column);
    };
    for (const [name, values] of table.numbers) {
      const aligned = rows === undefined ? values : pick(values, rows);
      put(name, { kind: 'numbers', values: aligned });
    }
    for (const [name, values] of table.texts) {
      const aligned = Array.from(this.keys, (_, i) => values[rows === undefined ? i : at(rows, i)]);
      put(name, { kind: 'texts', values: aligned });
    }
    const { path, header, broken } = table;
    const unscored = rows === undefined ? 0 : rows.reduce((sum, row) => sum + (row < 0 ? 1 : 0), 0);
    const notes: string[] = [];
    if (broken > 0) {
      const have = broken === 1 ? '1 record' : `${broken} records`;
      const are = broken === 1 ? 'is broken and has' : 'are broken and have';
      notes.push(`${have} of "${path}" ${are} no scores.`);
    }
    if (unscored > 0) {
      notes.push(`${unscored} of ${this.size} records have no scores in "${path}".`);
    }
    if (gone > 0 && header.data === spec) {
      notes.push(`${gone} records that "${path}" scores are not in these data.`);
    }
    if (rows === undefined && header.digest !== digest) {
      notes.push(`The captions have changed since "${path}" was made; score the data anew.`);
    }
    return notes;
  }

  /** The row of each record; undefined if the rows are in the order of the records. */
  #match({ path, header, keys }: ScoreTable): { rows?: Int32Array; gone: number } {
    if (keys.length === this.size && keys.every((key, i) => key === this.keys[i])) {
      return { gone: 0 };
    }
    const indices = new Map(keys.map((key, row) => [key, row]));
    let matched = 0;
    const rows = Int32Array.from(this.keys, (key) => {
      const row = indices.get(key) ?? -1;
      if (row >= 0) matched++;
      return row;
    });
    if (matched === 0) {
      const [own = ''] = this.keys;
      const [first = ''] = keys;
      throw new BantamError(
        `The scores "${path}", made for "${header.data}", are of other data: their records are called as "${first}", those of the data as "${own}"; name the scores of these data.`,
      );
    }
    return { rows, gone: keys.length - matched };
  }
}

function pick(values: Float64Array, rows: Int32Array): Float64Array {
  return Float64Array.from(rows, (row) => (row < 0 ? NaN : at(values, row)));
}
