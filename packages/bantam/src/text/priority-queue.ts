import { at } from '../base/at.js';

/**
 * A binary heap: `pop` takes the item that no other one comes before. Among equal items the order is
 * that of C++'s `std::priority_queue` in GCC's library, so that searches with ties find what
 * programs that use it find.
 */
export class PriorityQueue<Item> {
  readonly #heap: Item[] = [];
  readonly #isBefore: (a: Item, b: Item) => boolean;

  /** @param isBefore - true if `a` leaves the queue before `b` */
  constructor(isBefore: (a: Item, b: Item) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#heap.length;
  }

  push(item: Item): void {
    this.#heap.push(item);
    this.#rise(this.#heap.length - 1, item);
  }

  pop(): Item | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    // The hole sinks to a leaf along the better children, then the last item rises from there.
    let hole = 0;
    for (let right = 2; right < heap.length; right = 2 * hole + 2) {
      const left = right - 1;
      const better = this.#isBefore(at(heap, left), at(heap, right)) ? left : right;
      heap[hole] = at(heap, better);
      hole = better;
    }
    if (2 * hole + 1 < heap.length) {
      heap[hole] = at(heap, 2 * hole + 1);
      hole = 2 * hole + 1;
    }
    this.#rise(hole, last);
    return top;
  }

  #rise(hole: number, item: Item): void {
    const heap = this.#heap;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (!this.#isBefore(item, at(heap, parent))) break;
      heap[hole] = at(heap, parent);
      hole = parent;
    }
    heap[hole] = item;
  }
}
