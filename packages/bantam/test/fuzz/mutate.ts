/** Mutations of inputs, each a function of a seed, so that an input can be made again. */

/** A stream of whole numbers (Marsaglia 2003, xorshift32, from a seed that is hashed). */
export class Random {
  #state: number;

  constructor(seed: number, index: number) {
    let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35);
    state = Math.imul(state ^ (state >>> 16), 0x7feb352d);
    this.#state = (state ^ (state >>> 15)) >>> 0 || 1;
  }

  /** From 0 to below `bound`. */
  below(bound: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % Math.max(1, bound);
  }

  chance(outOf: number): boolean {
    return this.below(outOf) === 0;
  }

  /** One of some items, of which there must be at least one. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError('There is nothing to pick from.');
    return item;
  }
}

/** Makes a new input of a seed; may change `bytes`, and take parts of `others`. */
export type Mutation = (bytes: Buffer, random: Random, others: readonly Buffer[]) => Buffer;

const bytesOfInterest = [0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x20, 0x22, 0x2c, 0x5b, 0x7b];
const wordsOfInterest = [0, 1, -1, 0x7fff, -0x8000, 0xffff, 0x7fffffff, -0x80000000, 100_000_000];
const textsOfInterest = [
  ...['', '0', '-1', '1.5', '1e400', '9007199254740993', '18446744073709551616', '-0', 'NaN'],
  ...[
    'null',
    'true',
    '[]',
    '{}',
    '""',
    '[[[[[[',
    '{"a":',
    '\\ud800',
    '\u0000',
    '\ufeff',
    '\r',
    '\t',
  ],
  ...[
    '__proto__',
    'constructor',
    '../../x',
    '(((((a+)+)+)+)',
    '[a-',
    '\\',
    'é',
    '😀',
    ' '.repeat(300),
  ],
];

const overwrite: Mutation = (bytes, random) => {
  for (let count = 1 + random.below(8); count > 0; count--) {
    bytes[random.below(bytes.length)] = random.chance(2)
      ? random.pick(bytesOfInterest)
      : random.below(256);
  }
  return bytes;
};

const flip: Mutation = (bytes, random) => {
  const at = random.below(bytes.length);
  bytes.writeUInt8((bytes[at] ?? 0) ^ (1 << random.below(8)), at);
  return bytes;
};

const setWord: Mutation = (bytes, random) => {
  if (bytes.length < 4) return bytes;
  const at = random.below(bytes.length - 3);
  const value = random.pick(wordsOfInterest) | 0;
  if (random.chance(2)) bytes.writeInt32LE(value, at);
  else bytes.writeInt32BE(value, at);
  return bytes;
};

const cut: Mutation = (bytes, random) => bytes.subarray(0, random.below(bytes.length));

const remove: Mutation = (bytes, random) => {
  const start = random.below(bytes.length);
  const end = start + 1 + random.below(Math.min(600, bytes.length));
  return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)]);
};

const repeat: Mutation = (bytes, random) => {
  const start = random.below(bytes.length);
  const part = bytes.subarray(start, start + 1 + random.below(600));
  const times = random.chance(20) ? 200 : 1 + random.below(4);
  const parts = Array.from({ length: times }, () => part);
  return Buffer.concat([bytes.subarray(0, start), ...parts, bytes.subarray(start)]);
};

const insertText: Mutation = (bytes, random) => {
  const at = random.below(bytes.length);
  const end = at + (random.chance(2) ? 0 : random.below(12));
  return Buffer.concat([
    bytes.subarray(0, at),
    Buffer.from(random.pick(textsOfInterest)),
    bytes.subarray(end),
  ]);
};

const splice: Mutation = (bytes, random, others) => {
  const other = random.pick(others);
  return Buffer.concat([
    bytes.subarray(0, random.below(bytes.length)),
    other.subarray(random.below(other.length)),
  ]);
};

const general = [overwrite, flip, setWord, cut, remove, repeat, insertText, splice];

/** One to four of the mutations above, for inputs of any kind. */
export const mutateBytes: Mutation = (bytes, random, others) => {
  let mutated = bytes;
  for (let count = 1 + random.below(4); count > 0 && mutated.length > 0; count--) {
    mutated = random.pick(general)(mutated, random, others);
  }
  return mutated;
};

const valuesOfInterest: readonly unknown[] = [
  ...[
    null,
    true,
    0,
    -1,
    1.5,
    1e308,
    2 ** 53 - 1,
    2 ** 31,
    '',
    'x',
    'a'.repeat(5000),
    [],
    {},
    [[]],
    [null],
  ],
  ...['\ud800', '__proto__', '(a+)+$', '[', '\\p{L}+|', { type: 'Sequence' }, { Regex: '(?<' }],
];

/** Changes some values of a JSON text and leaves it JSON; others are mutated as bytes. */
export const mutateJson: Mutation = (bytes, random, others) => {
  if (random.chance(4)) return mutateBytes(bytes, random, others);
  let root: unknown = JSON.parse(bytes.toString());
  for (let count = 1 + random.below(3); count > 0; count--) {
    const steps = random.below(6);
    root = changeAt(root, steps, random);
  }
  return Buffer.from(JSON.stringify(root));
};

/** A copy of a JSON value with something else some steps below it. */
function changeAt(value: unknown, steps: number, random: Random): unknown {
  if (typeof value !== 'object' || value === null) return random.pick(valuesOfInterest);
  if (Array.isArray(value)) {
    const items: unknown[] = [...(value as unknown[])];
    const at = random.below(items.length);
    if (steps > 0) items[at] = changeAt(items[at], steps - 1, random);
    else if (random.chance(2)) items.splice(at, 1);
    else items.splice(at, 1, random.pick(valuesOfInterest), items[at]);
    return items;
  }
  const entries: [string, unknown][] = Object.entries(value);
  const at = random.below(entries.length);
  const [key, item]: [string, unknown] = entries[at] ?? ['', null];
  if (steps > 0) entries[at] = [key, changeAt(item, steps - 1, random)];
  else if (random.chance(2)) entries.splice(at, 1);
  else entries[at] = [key, random.pick(valuesOfInterest)];
  return Object.fromEntries(entries);
}

/** Mutates a tar archive, and mostly makes the headers' checksums right again. */
export const mutateTar: Mutation = (bytes, random, others) => {
  const mutated = Buffer.from(mutateBytes(bytes, random, others));
  if (random.chance(4)) return mutated;
  for (let at = 0; at + 512 <= mutated.length; at += 512) {
    const header = mutated.subarray(at, at + 512);
    if (header.toString('latin1', 257, 262) !== 'ustar') continue;
    header.fill(' ', 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  }
  return mutated;
};

/** Mutates a safetensors file: mostly its JSON header, whose length is then right. */
export const mutateSafetensors: Mutation = (bytes, random, others) => {
  if (random.chance(3)) return mutateBytes(bytes, random, others);
  const length = Number(bytes.readBigUInt64LE());
  const header = bytes.subarray(8, 8 + length);
  const mutated = random.chance(2)
    ? mutateJson(header, random, [header])
    : mutateBytes(Buffer.from(header), random, [header]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(mutated.length));
  return Buffer.concat([size, mutated, bytes.subarray(8 + length)]);
};

/**
 * Mutates an archive, mostly in place and before its list of files, so that the list leads to what was
 * changed.
 */
export const mutateArchive: Mutation = (bytes, random, others) => {
  if (random.chance(3)) return mutateBytes(bytes, random, others);
  const list = bytes.indexOf('PK\u0001\u0002', 0, 'latin1');
  const room = list > 0 ? list : bytes.length;
  for (let count = 1 + random.below(6); count > 0; count--) {
    const at = random.below(room);
    const source = random.below(room);
    if (random.chance(2))
      bytes[at] = random.chance(2) ? random.pick(bytesOfInterest) : random.below(256);
    else bytes.copyWithin(at, source, Math.min(room, source + random.below(40)));
  }
  return bytes;
};
