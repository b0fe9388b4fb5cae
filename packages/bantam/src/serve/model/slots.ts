import { RequestError } from '../http/request-error.js';

/** Items per second are those of the last few seconds. */
const halfLifeSeconds = 5;

/**
 * Bound on the items of a model that are decoded, queued or computed at once. Who is refused learns
 * when the items before it will be done, by the rate at which items were done lately.
 */
export class Slots {
  readonly #most: number;
  #taken = 0;
  /** Items per second, an exponential average. */
  #rate = 0;
  #since = performance.now();

  constructor(most: number) {
    this.#most = most;
  }

  /** Items at once now. */
  get taken(): number {
    return this.#taken;
  }

  /**
   * Takes room for the items of a request.
   *
   * @returns gives the room back; `done` says how many items were computed.
   * @throws RequestError with status 429 if there is not enough.
   */
  take(items: number): (done: number) => void {
    if (this.#taken + items > this.#most) {
      throw new RequestError(
        429,
        `The queue is full: ${this.#taken} items wait, and ${this.#most} may; try again later.`,
        { code: 'queue_full', retryAfter: this.#secondsUntilFree(items) },
      );
    }
    this.#taken += items;
    let held = true;
    return (done) => {
      if (!held) return;
      held = false;
      this.#taken -= items;
      this.#count(done);
    };
  }

  #secondsUntilFree(items: number): number {
    const excess = this.#taken + items - this.#most;
    const seconds = this.#rate > 0 ? excess / this.#rate : 1;
    return Math.min(60, Math.max(1, Math.ceil(seconds)));
  }

  #count(done: number): void {
    const now = performance.now();
    const seconds = Math.max(1e-3, (now - this.#since) / 1000);
    const kept = 0.5 ** (seconds / halfLifeSeconds);
    this.#rate = kept * this.#rate + ((1 - kept) * done) / seconds;
    this.#since = now;
  }
}
