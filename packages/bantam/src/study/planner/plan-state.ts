/** Decisions of a plan so far, so that one that was killed resumes with the same numbers. */
import { existsSync, readFileSync } from 'node:fs';
import { writeFileAtomic } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import type { KindRate, LoadTime } from './rates.js';

/** A pilot that was decided on. */
export interface DecidedPilot {
  /** Name of the candidate. */
  readonly candidate: string;
  readonly samples: number;
}

/** A rung that was decided on. */
export interface DecidedRung {
  readonly seconds: number;
  readonly pilots: readonly DecidedPilot[];
}

/** The state of a plan. */
export interface PlanState {
  /** Hash of everything that the plan depends on; another plan starts anew. */
  readonly key: string;
  /** Measured kinds by name, and what it cost. */
  readonly rates: Readonly<Record<string, KindRate | { readonly failure: string }>>;
  /** By augmentation and size of the images. */
  readonly loads: Readonly<Record<string, LoadTime>>;
  readonly measuringSeconds: number;
  readonly rungs: readonly DecidedRung[];
}

/** The state of a plan in its folder; that of a beginning if there is none, or one of another plan. */
export function readState(file: string, key: string): PlanState {
  const fresh: PlanState = { key, rates: {}, loads: {}, measuringSeconds: 0, rungs: [] };
  if (!existsSync(file)) return fresh;
  const state = parsed(file);
  return state.key === key ? state : fresh;
}

/** @throws BantamError for a file that was changed by hand: it is written whole or not at all. */
function parsed(file: string): PlanState {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as PlanState;
  } catch (error) {
    throw new BantamError(`${file} is damaged; delete it, and the plan measures anew.`, {
      cause: error,
    });
  }
}

/** Writes the state of a plan, whole or not at all. */
export function writeState(file: string, state: PlanState): void {
  writeFileAtomic(file, [Buffer.from(`${JSON.stringify(state, null, 1)}\n`)]);
}
