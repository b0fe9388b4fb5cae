/** The folder of a plan: which plan it holds, and what a plan that is refused leaves of it. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../../base/errors.js';
import { planPaths } from './plan-file.js';
import type { PlanStateFile } from './plan-state.js';

/**
 * True if a folder holds choices or pilots of another plan. One that was ended while it timed has nothing to
 * lose: the machine's speeds are kept elsewhere.
 */
export function holdsOther({ other }: Pick<PlanStateFile, 'other'>, out: string): boolean {
  return other !== undefined && (other.hasPilots || existsSync(planPaths(out).plan));
}

/** The refusal of a plan in a folder that holds another one. */
export function otherPlan(out: string): UsageError {
  return new UsageError(
    `The folder ${out} holds another plan (of other data, another budget, other options or threads, or by another version of Bantam); replace it with --force, or choose another folder with --out.`,
  );
}

/** Parts of data that a folder has, by name; undefined: there is no such folder. */
export function partsIn(folder: string): ReadonlySet<string> | undefined {
  return existsSync(folder) ? new Set(readdirSync(folder)) : undefined;
}

/** Removes the parts of data that were not there before. */
export function removeParts(folder: string, before: ReadonlySet<string> | undefined): void {
  for (const name of partsIn(folder) ?? []) {
    if (before?.has(name) !== true) rmSync(join(folder, name), { recursive: true });
  }
  if (before === undefined) rmSync(folder, { recursive: true, force: true });
}
