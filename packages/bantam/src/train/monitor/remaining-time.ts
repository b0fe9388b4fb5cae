import type { Budget, Spent } from '../config/budget.js';

/** Steps and seconds after the first step from which on the pace is known. */
const fewest = { steps: 3, seconds: 2 } as const;

/**
 * Time to the end of a budget. A budget of time says it; for others it is what is left of them at the mean
 * pace of the steps that this process took. The first step is left out: memory is allocated and data workers
 * start in it, which takes several times as long.
 */
export class RemainingTime {
  readonly #budget: Budget;
  #first: Readonly<Spent> | null = null;
  #steps = 0;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** Counts a step, and estimates the seconds that remain after it; null until the pace is known. */
  after(spent: Readonly<Spent>): number | null {
    const { unit, amount } = this.#budget;
    const left = Math.max(0, amount - spent[unit]);
    if (unit === 'seconds' || left === 0) return left;
    if (this.#first === null) {
      this.#first = { ...spent };
      return null;
    }
    this.#steps++;
    const seconds = spent.seconds - this.#first.seconds;
    if (this.#steps < fewest.steps || seconds < fewest.seconds) return null;
    return (left * seconds) / (spent[unit] - this.#first[unit]);
  }
}
