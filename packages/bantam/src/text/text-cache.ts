/** Bytes that a cache of texts holds at most, by its own estimate. */
const LIMIT = 64 * 2 ** 20;

/** Bytes of an entry beside its characters and ids, measured: the map's slot and the objects' headers. */
const OVERHEAD = 500;

/**
 * What was computed of texts that may come again, such as the captions of the next epoch. Bounded by
 * bytes and not by texts, since a server may be sent long ones that never come again; beyond the bound
 * it starts afresh.
 */
export class TextCache<Ids extends { readonly length: number }> {
  readonly #entries = new Map<string, Ids>();
  readonly #limit: number;
  #bytes = 0;

  constructor(limit = LIMIT) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(text: string): Ids | undefined {
    return this.#entries.get(text);
  }

  set(text: string, ids: Ids): void {
    const bytes = 2 * text.length + 8 * ids.length + OVERHEAD;
    if (this.#bytes + bytes > this.#limit) {
      this.#entries.clear();
      this.#bytes = 0;
    }
    if (bytes > this.#limit) return;
    this.#entries.set(text, ids);
    this.#bytes += bytes;
  }
}
