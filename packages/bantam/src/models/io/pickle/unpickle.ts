import { BantamError } from '../../../base/errors.js';
import { PickledModule, PickledName } from './values.js';

/** The largest pickle that is read. State dicts of the largest models take less than a hundredth. */
export const LARGEST_PICKLE = 1 << 26;
/** Most objects of a pickle: each takes memory beyond its bytes in the file. */
const MOST_OBJECTS = 1 << 22;
/** Most digits of a number that is written out. */
const MOST_DIGITS = 400;

/** Sign of an opcode that pushes nothing. */
const NO_VALUE = Symbol('no value');

/** Meaning of the opcodes that build objects. */
export interface PickleRules {
  /** Accepts a class or function that is named. @throws BantamError for all that is not known. */
  readonly allow: (name: PickledName) => unknown;
  /** The result of calling an accepted name. */
  readonly call: (name: unknown, args: readonly unknown[]) => unknown;
  /** The object of a persistent id. */
  readonly load: (id: unknown) => unknown;
}

/** A pickle's value, and where its bytes end. */
export interface Unpickled {
  readonly value: unknown;
  readonly end: number;
}

/**
 * Reads the pickle that begins at `start`: Python's protocols 0 to 5, without the opcodes that none
 * of PyTorch's files has. Lists and tuples become arrays, dicts become maps, sets become sets, bytes become
 * buffers. No name is ever looked up or called; `rules` says what stands for it.
 *
 * @param path - The file, for messages
 * @throws BantamError if the pickle is damaged, or `rules` refuse a part of it.
 */
export function unpickle(
  path: string,
  bytes: Buffer,
  { rules, start = 0 }: { rules: PickleRules; start?: number },
): Unpickled {
  return new Unpickler(path, bytes, rules, start).run();
}

class Unpickler {
  #stack: unknown[] = [];
  /** Stacks below the marks. */
  readonly #below: unknown[][] = [];
  readonly #memo = new Map<number, unknown>();
  #objects = 0;
  #position: number;

  constructor(
    readonly path: string,
    readonly bytes: Buffer,
    readonly rules: PickleRules,
    start: number,
  ) {
    this.#position = start;
  }

  run(): Unpickled {
    for (;;) {
      const opcode = this.#byte();
      if (opcode === 0x2e) return { value: this.#pop(), end: this.#position };
      const value = this.#value(opcode);
      if (value === NO_VALUE) this.#change(opcode);
      else this.#push(value);
    }
  }

  #fail(problem: string): never {
    throw new BantamError(
      `${this.path} is not a whole file of PyTorch: its pickle ${problem}; fetch or save it again.`,
    );
  }

  /** Moves on by some bytes and returns the offset before. */
  #take(count: number): number {
    const at = this.#position;
    if (count > this.bytes.length - at) this.#fail('ends too early');
    this.#position += count;
    return at;
  }

  #byte(): number {
    return this.bytes.readUInt8(this.#take(1));
  }

  #count(size: 1 | 4 | 8): number {
    const at = this.#take(size);
    if (size === 1) return this.bytes.readUInt8(at);
    if (size === 4) return this.bytes.readUInt32LE(at);
    const count = this.bytes.readBigUInt64LE(at);
    return count > BigInt(this.bytes.length) ? this.#fail('ends too early') : Number(count);
  }

  #raw(count: number): Buffer {
    const at = this.#take(count);
    return this.bytes.subarray(at, at + count);
  }

  #text(count: number): string {
    return this.#raw(count).toString('utf8');
  }

  /** Text up to the end of the line. */
  #line(): string {
    const end = this.bytes.indexOf(0x0a, this.#position);
    if (end < 0) this.#fail('ends too early');
    const text = this.#text(end - this.#position);
    this.#position = end + 1;
    return text;
  }

  #push(value: unknown): void {
    if (++this.#objects > MOST_OBJECTS) this.#fail(`has more than ${MOST_OBJECTS} objects`);
    this.#stack.push(value);
  }

  #pop(): unknown {
    return this.#stack.length > 0 ? this.#stack.pop() : this.#fail('takes more than it has');
  }

  #top(): unknown {
    return this.#stack.length > 0 ? this.#stack.at(-1) : this.#fail('takes more than it has');
  }

  #mark(): void {
    this.#push(null);
    this.#stack.pop();
    this.#below.push(this.#stack);
    this.#stack = [];
  }

  /** All since the last mark. */
  #toMark(): unknown[] {
    const items = this.#stack;
    this.#stack = this.#below.pop() ?? this.#fail('has no mark where it needs one');
    return items;
  }

  /** The last values, in the order in which they were pushed. */
  #last(count: number): unknown[] {
    return Array.from({ length: count }, () => this.#pop()).reverse();
  }

  #store(index: number): void {
    if (++this.#objects > MOST_OBJECTS) this.#fail(`has more than ${MOST_OBJECTS} objects`);
    this.#memo.set(index, this.#top());
  }

  #recall(index: number): unknown {
    if (!this.#memo.has(index)) this.#fail('refers to what it has not stored');
    return this.#memo.get(index);
  }

  #name(module: unknown, name: unknown): unknown {
    if (typeof module !== 'string' || typeof name !== 'string') this.#fail('has a name of no text');
    return this.rules.allow(new PickledName(module, name));
  }

  #call(): unknown {
    const [name, args] = this.#last(2);
    return this.rules.call(name, Array.isArray(args) ? (args as unknown[]) : []);
  }

  #appendTo(items: readonly unknown[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) this.#fail('appends to what is no list');
    for (const item of items) (list as unknown[]).push(item);
  }

  #dict(items: readonly unknown[], map = new Map<unknown, unknown>()): Map<unknown, unknown> {
    if (items.length % 2 > 0) this.#fail('has a key without a value');
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
    return map;
  }

  #setIn(items: readonly unknown[]): void {
    const target = this.#top();
    const map = target instanceof PickledModule ? target.state : target;
    if (!(map instanceof Map)) this.#fail('sets members of what is no dict');
    this.#dict(items, map);
  }

  #addTo(items: readonly unknown[]): void {
    const set = this.#top();
    if (!(set instanceof Set)) this.#fail('adds to what is no set');
    for (const item of items) set.add(item);
  }

  /** The state of an object: attributes of a module; of containers it is bookkeeping, and not kept. */
  #build(): void {
    const state = this.#pop();
    const target = this.#top();
    if (!(target instanceof PickledModule) || !(state instanceof Map)) return;
    for (const [name, value] of state) target.state.set(name, value);
  }

  #wholeNumber(text: string): number | bigint {
    const digits = text.replace(/L$/, '').trim();
    if (digits.length > MOST_DIGITS || !/^[+-]?\d+$/.test(digits)) {
      this.#fail('has a number of no digits');
    }
    return narrowed(BigInt(digits.replace(/^\+/, '')));
  }

  /** A number of little-endian bytes in two's complement. */
  #long(count: number): number | bigint {
    if (count > MOST_DIGITS) this.#fail('has a number too large to be one');
    const bytes = this.#raw(count);
    const hex = Buffer.from(bytes).reverse().toString('hex');
    return count === 0 ? 0 : narrowed(BigInt.asIntN(8 * count, BigInt(`0x${hex}`)));
  }

  /** The value of an opcode that pushes one; {@link NO_VALUE} for others. */
  #value(opcode: number): unknown {
    switch (opcode) {
      case 0x4e: // NONE
        return null;
      case 0x88: // NEWTRUE
        return true;
      case 0x89: // NEWFALSE
        return false;
      case 0x49: {
        // INT, and booleans of protocol 0
        const text = this.#line();
        return text === '00' ? false : text === '01' ? true : this.#wholeNumber(text);
      }
      case 0x4c: // LONG
        return this.#wholeNumber(this.#line());
      case 0x4a: // BININT
        return this.bytes.readInt32LE(this.#take(4));
      case 0x4b: // BININT1
        return this.#byte();
      case 0x4d: // BININT2
        return this.bytes.readUInt16LE(this.#take(2));
      case 0x8a: // LONG1
        return this.#long(this.#count(1));
      case 0x8b: // LONG4
        return this.#long(this.#count(4));
      case 0x46: // FLOAT
        return Number(this.#line());
      case 0x47: // BINFLOAT
        return this.bytes.readDoubleBE(this.#take(8));
      case 0x8c: // SHORT_BINUNICODE
      case 0x55: // SHORT_BINSTRING, the text of Python 2
        return this.#text(this.#count(1));
      case 0x58: // BINUNICODE
      case 0x54: // BINSTRING
        return this.#text(this.#count(4));
      case 0x8d: // BINUNICODE8
        return this.#text(this.#count(8));
      case 0x56: // UNICODE
        return this.#line();
      case 0x43: // SHORT_BINBYTES
        return this.#raw(this.#count(1));
      case 0x42: // BINBYTES
        return this.#raw(this.#count(4));
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        return this.#raw(this.#count(8));
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        return [];
      case 0x7d: // EMPTY_DICT
        return new Map();
      case 0x8f: // EMPTY_SET
        return new Set();
      case 0x74: // TUPLE
      case 0x6c: // LIST
        return this.#toMark();
      case 0x85: // TUPLE1
        return this.#last(1);
      case 0x86: // TUPLE2
        return this.#last(2);
      case 0x87: // TUPLE3
        return this.#last(3);
      case 0x91: // FROZENSET
        return new Set(this.#toMark());
      case 0x64: // DICT
        return this.#dict(this.#toMark());
      case 0x32: // DUP
        return this.#top();
      case 0x67: // GET
        return this.#recall(Number(this.#line()));
      case 0x68: // BINGET
        return this.#recall(this.#byte());
      case 0x6a: // LONG_BINGET
        return this.#recall(this.bytes.readUInt32LE(this.#take(4)));
      case 0x63: {
        // GLOBAL
        const module = this.#line();
        return this.#name(module, this.#line());
      }
      case 0x93: {
        // STACK_GLOBAL
        const name = this.#pop();
        return this.#name(this.#pop(), name);
      }
      case 0x69: {
        // INST: a name, called with all since the mark
        const module = this.#line();
        const name = this.#name(module, this.#line());
        return this.rules.call(name, this.#toMark());
      }
      case 0x6f: {
        // OBJ
        const [name, ...args] = this.#toMark();
        return this.rules.call(name, args);
      }
      case 0x52: // REDUCE
      case 0x81: // NEWOBJ
        return this.#call();
      case 0x51: // BINPERSID
        return this.rules.load(this.#pop());
      default:
        return NO_VALUE;
    }
  }

  /** An opcode that changes what is there. */
  #change(opcode: number): void {
    switch (opcode) {
      case 0x80: // PROTO
        this.#take(1);
        break;
      case 0x95: // FRAME
        this.#take(8);
        break;
      case 0x28: // MARK
        this.#mark();
        break;
      case 0x30: // POP
        this.#pop();
        break;
      case 0x31: // POP_MARK
        this.#toMark();
        break;
      case 0x61: // APPEND
        this.#appendTo([this.#pop()]);
        break;
      case 0x65: // APPENDS
        this.#appendTo(this.#toMark());
        break;
      case 0x73: // SETITEM
        this.#setIn(this.#last(2));
        break;
      case 0x75: // SETITEMS
        this.#setIn(this.#toMark());
        break;
      case 0x90: // ADDITEMS
        this.#addTo(this.#toMark());
        break;
      case 0x70: // PUT
        this.#store(Number(this.#line()));
        break;
      case 0x71: // BINPUT
        this.#store(this.#byte());
        break;
      case 0x72: // LONG_BINPUT
        this.#store(this.bytes.readUInt32LE(this.#take(4)));
        break;
      case 0x94: // MEMOIZE
        this.#store(this.#memo.size);
        break;
      case 0x62: // BUILD
        this.#build();
        break;
      default:
        this.#fail(`has the unknown opcode 0x${opcode.toString(16).padStart(2, '0')}`);
    }
  }
}

/** A number where a double holds it exactly, else a bigint. */
function narrowed(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
