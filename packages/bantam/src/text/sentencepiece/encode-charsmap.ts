import { at } from '../../base/at.js';

/** Bit 8 of a unit: a rule ends here. */
const HAS_LEAF = 0x100;

/** Slots before the end that are searched for room: 4 blocks. */
const SEARCHED = 4 * 256;

/** A node by the bytes that lead on; 0 leads to the value of the key that ends here. */
interface Branch {
  readonly label: number;
  /** A value, or the index of a node. */
  readonly target: number;
}

/**
 * The smallest automaton that accepts sorted keys: alike subtrees are one node, which in rules of
 * normalisation leaves a tenth of the nodes.
 *
 * @returns its nodes, each after those that it leads to, the root last
 */
function minimalAutomaton(keys: readonly Uint8Array[], values: readonly number[]): Branch[][] {
  const nodes: Branch[][] = [];
  const known = new Map<string, number>();
  const build = (first: number, end: number, depth: number): number => {
    const branches: Branch[] = [];
    for (let i = first; i < end;) {
      const label = at(keys, i)[depth];
      let next = i + 1;
      while (next < end && at(keys, next)[depth] === label) next++;
      branches.push(
        label === undefined
          ? { label: 0, target: at(values, i) }
          : { label, target: build(i, next, depth + 1) },
      );
      i = next;
    }
    const form = branches.map(({ label, target }) => `${label}:${target}`).join();
    let node = known.get(form);
    if (node === undefined) {
      node = nodes.push(branches) - 1;
      known.set(form, node);
    }
    return node;
  };
  build(0, keys.length, 0);
  return nodes;
}

/** Puts nodes into a double array so that no two share their children's origin. */
class DoubleArrayBuilder {
  #units = new Uint32Array(1 << 16);
  #taken = new Uint8Array(1 << 16);
  readonly #origins = new Set<number>();
  #firstFree = 1;
  /** End of the last block in use. */
  #end = 0;

  constructor() {
    this.#taken[0] = 1;
  }

  /** Finds an origin for children with these labels, and takes their slots. */
  place(labels: readonly number[]): number {
    const first = at(labels, 0);
    for (let place = Math.max(this.#firstFree, this.#end - SEARCHED); ; place++) {
      this.#reserve(place | 0xff);
      if (at(this.#taken, place) === 1) continue;
      const origin = place ^ first;
      if (this.#origins.has(origin)) continue;
      if (!labels.every((label) => at(this.#taken, origin ^ label) === 0)) continue;
      this.#origins.add(origin);
      for (const label of labels) this.#taken[origin ^ label] = 1;
      this.#end = Math.max(this.#end, (place | 0xff) + 1);
      while (at(this.#taken, this.#firstFree) === 1) {
        this.#firstFree++;
        this.#reserve(this.#firstFree);
      }
      return origin;
    }
  }

  set(unit: number, value: number): void {
    this.#units[unit] = value;
  }

  finish(): Uint32Array {
    const end = this.#taken.lastIndexOf(1) + 1;
    // Readers may look at any place of a block of 256.
    return this.#units.slice(0, Math.ceil(end / 256) * 256);
  }

  #reserve(place: number): void {
    if (place < this.#units.length) return;
    const [units, taken] = [this.#units, this.#taken];
    this.#units = new Uint32Array(2 * units.length);
    this.#units.set(units);
    this.#taken = new Uint8Array(2 * taken.length);
    this.#taken.set(taken);
  }
}

/** Distance from a unit to its children's origin, as a unit holds it. */
function offsetBits(unit: number, origin: number): number {
  const offset = unit ^ origin;
  if (offset < 1 << 21) return offset << 10;
  throw new RangeError(`A double array of more than ${1 << 21} units is not made.`);
}

function buildDoubleArray(keys: readonly Uint8Array[], values: readonly number[]): Uint32Array {
  const builder = new DoubleArrayBuilder();
  const nodes = minimalAutomaton(keys, values);
  const origins: number[] = [];
  const unitTo = (place: number, node: number): number => {
    const leaf = at(at(nodes, node), 0).label === 0 ? HAS_LEAF : 0;
    return (offsetBits(place, at(origins, node)) | leaf) >>> 0;
  };
  for (const branches of nodes) {
    const origin = builder.place(branches.map(({ label }) => label));
    origins.push(origin);
    for (const { label, target } of branches) {
      const place = origin ^ label;
      builder.set(
        place,
        label === 0 ? (target | 0x80000000) >>> 0 : (label | unitTo(place, target)) >>> 0,
      );
    }
  }
  builder.set(0, unitTo(0, nodes.length - 1));
  return builder.finish();
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = at(a, i) - at(b, i);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Rules of normalisation as `.model` files hold them; see `CharsMap`. */
export function encodeCharsmap(rules: ReadonlyMap<string, string>): Uint8Array {
  const encoder = new TextEncoder();
  const positions = new Map<string, number>();
  const texts: number[] = [];
  for (const text of [...new Set(rules.values())].sort()) {
    positions.set(text, texts.length);
    texts.push(...encoder.encode(text), 0);
  }
  const entries = Array.from(rules, ([from, to]) => ({ key: encoder.encode(from), to })).sort(
    (a, b) => compareBytes(a.key, b.key),
  );
  const units = buildDoubleArray(
    entries.map(({ key }) => key),
    entries.map(({ to }) => positions.get(to) ?? 0),
  );
  const blob = new Uint8Array(4 + 4 * units.length + texts.length);
  const view = new DataView(blob.buffer);
  view.setUint32(0, 4 * units.length, true);
  for (const [i, unit] of units.entries()) view.setUint32(4 + 4 * i, unit, true);
  blob.set(texts, 4 + 4 * units.length);
  return blob;
}
