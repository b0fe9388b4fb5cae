/** Decisions of a plan so far, so that one that was killed resumes with the same numbers. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { writeFileAtomic } from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { atLeast, count, group, isObject, listOf, positive, text } from '../../base/schema.js';
import { kindRateSchema, loadTimeSchema } from './rates.js';

/** A rung that was decided on: the pilots, each with the name of its candidate. */
const rungSchema = group({
  seconds: positive(),
  pilots: listOf(group({ candidate: text(), samples: count() })),
});

/** The rungs that the time allows, decided once: later measurements would divide it otherwise. */
const scheduleSchema = listOf(group({ candidates: count(), seconds: positive() }));

/** A kind that could not be trained. */
const failureSchema = group({ failure: text() });

const stateSchema = group({
  /** Hash of everything that the plan depends on; another plan starts again. */
  key: text(),
  /** Measured kinds by name. */
  rates: v.record(text(), v.union([kindRateSchema, failureSchema])),
  /** By augmentation and size of the images. */
  loads: v.record(text(), loadTimeSchema),
  /** Time that measurements took of the budget, those that were cut short apart. */
  measuringSeconds: atLeast(0),
  /** Absent before the pilots. */
  schedule: v.optional(scheduleSchema),
  rungs: listOf(rungSchema),
});

/** A rung that was decided on. */
export type DecidedRung = Readonly<v.InferOutput<typeof rungSchema>>;

/** The state of a plan. */
export type PlanState = Readonly<v.InferOutput<typeof stateSchema>>;

function beginningOf(key: string): PlanState {
  return { key, rates: {}, loads: {}, measuringSeconds: 0, rungs: [] };
}

/** The state of a plan in a file of its folder, which each change rewrites whole. */
export class PlanStateFile {
  readonly #file: string;
  #state: PlanState;
  #other: { readonly hasPilots: boolean } | undefined;

  /**
   * Reads the state; that of a beginning if there is none, or one of another plan.
   *
   * @throws BantamError for a file that was changed by hand: it is written whole or not at all.
   */
  constructor(file: string, key: string) {
    this.#file = file;
    this.#state = this.#read(key) ?? beginningOf(key);
  }

  /** Another plan whose state the file holds, and which this one will replace. */
  get other(): { readonly hasPilots: boolean } | undefined {
    return this.#other;
  }

  get current(): PlanState {
    return this.#state;
  }

  save(changes: Partial<Omit<PlanState, 'key'>>): void {
    this.#state = { ...this.#state, ...changes };
    writeFileAtomic(this.#file, [Buffer.from(`${JSON.stringify(this.#state, null, 1)}\n`)]);
  }

  /** Deletes the file: the plan begins again. */
  clear(): void {
    this.#state = beginningOf(this.#state.key);
    rmSync(this.#file, { force: true });
  }

  /** The error of a state that this plan cannot have written. */
  damaged(cause?: unknown): BantamError {
    return new BantamError(`${this.#file} is damaged; delete it, and the plan measures again.`, {
      cause,
    });
  }

  #read(key: string): PlanState | undefined {
    if (!existsSync(this.#file)) return undefined;
    const state = this.#parsed();
    if (isObject(state) && typeof state.key === 'string' && state.key !== key) {
      this.#other = { hasPilots: state.schedule !== undefined };
      return undefined;
    }
    if (!v.is(stateSchema, state)) throw this.damaged();
    if (state.schedule !== undefined) return state;
    // A kind that failed is tried again, until pilots are decided on: memory may be free now.
    const rates = Object.entries(state.rates).filter(([, rate]) => !('failure' in rate));
    return { ...state, rates: Object.fromEntries(rates) };
  }

  #parsed(): unknown {
    try {
      return JSON.parse(readFileSync(this.#file, 'utf8')) as unknown;
    } catch (error) {
      throw this.damaged(error);
    }
  }
}
