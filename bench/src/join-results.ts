import { BantamError } from 'bantam/internal';
import { at } from '@bantam/torch/at';
import { cases as listed } from './cases.js';
import type { Results } from './results.js';

/**
 * Results of `run` from several calls as those of one, their cases in the order of the list: of a case
 * that was measured again the later call counts. Other results stay unchanged.
 *
 * @throws BantamError where the calls were made on different machines.
 */
export function joinRuns(all: readonly Results[]): Results[] {
  const runs = all.filter(({ command }) => command === 'run');
  const [first, ...others] = runs;
  if (first === undefined || others.length === 0) return [...all];
  const { date, machine } = at(runs, -1);
  const other = runs.find((run) => JSON.stringify(run.machine) !== JSON.stringify(machine));
  if (other !== undefined) {
    throw new BantamError(
      `Results of ${other.machine.cpu} (${other.date}) and of ${machine.cpu} (${date}) cannot share a table; give the files of one machine and the same number of threads.`,
    );
  }
  const order = listed.map(({ name }) => name);
  const inOrder = <Entry extends { readonly name: string }>(entries: readonly Entry[]): Entry[] =>
    [...new Map(entries.map((entry) => [entry.name, entry])).values()].sort(
      (a, b) => order.indexOf(a.name) - order.indexOf(b.name),
    );
  const cases = inOrder(runs.flatMap((run) => run.cases ?? []));
  const measured = new Set(cases.map(({ name }) => name));
  const skipped = inOrder(runs.flatMap((run) => run.skipped ?? []));
  const joined: Results = {
    ...first,
    commandLine: runs.map(({ commandLine }) => commandLine).join('; '),
    date,
    cases,
    skipped: skipped.filter(({ name }) => !measured.has(name)),
  };
  return [...all.filter(({ command }) => command !== 'run'), joined];
}
