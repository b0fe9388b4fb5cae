/** A report of what a source left out, read in another way than expected, or noticed. */
export interface SourceNote {
  /** `left-out`: not in the source; `changed`: read differently; `info`: worth knowing. */
  readonly kind: 'left-out' | 'changed' | 'info';
  /** How many things it is about. */
  readonly count: number;
  /** One sentence, with the count. */
  readonly message: string;
  /** Locations of the first few, such as `line 5` or a file's name. */
  readonly where: readonly string[];
}

/** Most locations that a note keeps. */
const mostExamples = 5;

interface Entry {
  readonly kind: SourceNote['kind'];
  readonly describe: (count: number) => string;
  count: number;
  readonly where: string[];
}

/** Collects the notes of a source while it is opened; equal reasons are counted together. */
export class NoteBook {
  readonly #entries = new Map<string, Entry>();

  /** Counts a thing that is left out: `leftOut('row', 'without a caption', 'line 5')`. */
  leftOut(thing: string, why: string, where?: string): void {
    const reason = why === '' ? '' : ` ${why}`;
    this.#count('left-out', `${thing}${reason}`, where, (count) =>
      count === 1
        ? `1 ${thing}${reason} is left out`
        : `${count} ${plural(thing)}${reason} are left out`,
    );
  }

  /** Counts a thing that is kept but read differently: `changed('row', 'shorter than the header', …)`. */
  changed(thing: string, how: string, where?: string): void {
    this.#count('changed', `${thing} ${how}`, where, (count) =>
      count === 1 ? `1 ${thing} ${how}` : `${count} ${plural(thing)} ${how}`,
    );
  }

  /** Adds a sentence. */
  info(message: string, where?: string): void {
    this.#count('info', message, where, () => message.replace(/\.$/, ''));
  }

  /** The notes so far, those of lost data first. */
  get notes(): readonly SourceNote[] {
    const order = { 'left-out': 0, changed: 1, info: 2 };
    return [...this.#entries.values()]
      .map(({ kind, describe, count, where }): SourceNote => {
        return { kind, count, message: `${describe(count)}.`, where };
      })
      .sort((a, b) => order[a.kind] - order[b.kind]);
  }

  /** How many things are left out so far. */
  get lost(): number {
    return this.notes.reduce((sum, { kind, count }) => sum + (kind === 'left-out' ? count : 0), 0);
  }

  #count(
    kind: SourceNote['kind'],
    name: string,
    where: string | undefined,
    describe: Entry['describe'],
  ): void {
    const entry = this.#entries.get(name) ?? { kind, describe, count: 0, where: [] };
    entry.count++;
    if (where !== undefined && entry.where.length < mostExamples) entry.where.push(where);
    this.#entries.set(name, entry);
  }
}

/** A note as one line: its sentence, and where the first few things are. */
export function describeNote({ message, where, count }: SourceNote): string {
  if (where.length === 0) return message;
  const more = count > where.length ? ', …' : '';
  return `${message.replace(/\.$/, '')} (${where.join(', ')}${more}).`;
}

/** The plural of a thing: its head is the word before "of", "with" or "without", or the last one. */
function plural(thing: string): string {
  const [, head = '', tail = ''] = /^(.*?)( (?:of|with|without) .*)?$/.exec(thing) ?? [];
  if (/[^aeiou]y$/.test(head)) return `${head.slice(0, -1)}ies${tail}`;
  return `${/(s|x|ch|sh)$/.test(head) ? `${head}es` : `${head}s`}${tail}`;
}
