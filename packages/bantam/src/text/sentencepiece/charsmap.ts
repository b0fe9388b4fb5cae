import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';

/** A rule that a text starts with. */
export interface MatchedRule {
  /** Bytes that it replaces. */
  readonly length: number;
  readonly text: string;
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Rules of normalisation as `.model` files hold them (`precompiled_charsmap`): the length of a double
 * array in bytes, the double array (Aoe 1989, in the layout of Darts-clone) over the UTF-8 bytes that
 * are replaced, and the replacements, each closed by a zero byte.
 *
 * A unit of the double array has the byte that leads to it in bits 0–7, in bit 8 whether a rule ends
 * there, and in bits 10–30 the distance to its children, in units of 256 if bit 9 is set.
 */
export class CharsMap {
  readonly #units: Uint32Array;
  readonly #texts: Uint8Array;
  /** Replacements by their position. */
  readonly #known = new Map<number, string>();

  /**
   * @param file - for errors
   * @throws BantamError if it is cut off
   */
  constructor(blob: Uint8Array, file: string) {
    const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
    const size = blob.length < 4 ? NaN : view.getUint32(0, true);
    if (!(size >= 4 && size % 4 === 0 && 4 + size < blob.length)) {
      throw new BantamError(
        `The rules of normalisation in ${file} are cut off; fetch the file again.`,
      );
    }
    this.#units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.#texts = blob.subarray(4 + size);
  }

  /**
   * The rule whose bytes a text has at `position`, the longest one or the shortest; undefined: none.
   */
  match(
    bytes: Uint8Array,
    position: number,
    wanted: 'longest' | 'shortest' = 'longest',
  ): MatchedRule | undefined {
    const units = this.#units;
    let length = 0;
    let found = -1;
    let node = childrenOf(at(units, 0));
    for (let i = position; i < bytes.length; i++) {
      const byte = at(bytes, i);
      node ^= byte;
      const unit = units[node];
      // Bit 31 marks the position of a replacement, which is no node.
      if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) break;
      node ^= childrenOf(unit);
      if ((unit & 0x100) === 0) continue;
      const value = units[node];
      if (value === undefined) break;
      found = value & 0x7fffffff;
      length = i + 1 - position;
      if (wanted === 'shortest') break;
    }
    return length === 0 ? undefined : { length, text: this.#text(found) };
  }

  #text(position: number): string {
    let text = this.#known.get(position);
    if (text === undefined) {
      const end = this.#texts.indexOf(0, position);
      text = decoder.decode(this.#texts.subarray(position, end < 0 ? this.#texts.length : end));
      this.#known.set(position, text);
    }
    return text;
  }
}

function childrenOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
