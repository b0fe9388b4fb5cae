import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BantamError } from 'bantam/internal';
import { joinRuns } from './join-results.js';
import { ratioChart, scalingChart } from './charts.js';
import { readResults, type Results } from './results.js';
import {
  accuracyTable,
  machineLine,
  memoryTable,
  onnxTable,
  scalingTable,
  speedTable,
  startupTable,
  trialTable,
  zooTable,
} from './tables.js';

/** Pages that have sections for results. */
const pages = ['performance.md', 'models.md'];

/** Contents of the sections `<!-- bench:NAME -->` … `<!-- /bench -->` of the documentation. */
export function sections(results: Results): ReadonlyMap<string, string> {
  const { command, skipped = [], scaling = [], startup = [], accuracy } = results;
  const below = `${machineLine(results.machine)}. \`${results.commandLine}\`, ${results.date.slice(0, 10)}.`;
  const left =
    skipped.length === 0
      ? 'No case was skipped.'
      : skipped.map(({ name, reason }) => `- \`${name}\`: ${reason}`).join('\n');
  const withFacts = (...parts: string[]): string => [...parts, below].join('\n\n');
  switch (command) {
    case 'run': {
      const { isa } = results.machine;
      if (isa !== undefined) return new Map([[`run-${isa}`, withFacts(speedTable(results), left)]]);
      return new Map([
        ['run', withFacts(speedTable(results), '![Ratios as bars](images/performance.svg)')],
        ['run-memory', memoryTable(results)],
        ['run-trials', trialTable(results)],
        ['run-skipped', left],
      ]);
    }
    case 'zoo':
      return new Map([['zoo', withFacts(zooTable(results))]]);
    case 'scaling':
      return new Map([
        ['scaling', withFacts(scalingTable(scaling), '![Curves](images/scaling.svg)')],
      ]);
    case 'startup':
      return new Map([['startup', withFacts(startupTable(startup))]]);
    case 'onnx':
      return new Map([['onnx', withFacts(onnxTable(results), left)]]);
    case 'accuracy':
      return new Map(accuracy && [['accuracy', withFacts(accuracyTable(accuracy))]]);
  }
}

/** The charts of results by file name. */
function charts(results: Results): ReadonlyMap<string, string> {
  const { command, machine, scaling = [] } = results;
  if (command === 'run' && machine.isa === undefined)
    return new Map([['performance.svg', ratioChart(results)]]);
  if (command === 'scaling') return new Map([['scaling.svg', scalingChart(scaling)]]);
  return new Map();
}

/** The page with new contents for its sections; sections without any stay unchanged. */
export function fillSections(page: string, filled: ReadonlyMap<string, string>): string {
  return page.replace(
    /(<!-- bench:([\w-]+) -->\n)[^]*?(\n<!-- \/bench -->)/g,
    (section, open: string, name: string, close: string) => {
      const text = filled.get(name);
      return text === undefined ? section : `${open}\n${text}\n${close}`;
    },
  );
}

/**
 * Fills the documentation's sections and draws its charts from files of results; those of `run` may be
 * several, see {@link joinRuns}.
 *
 * @returns the files that were written
 * @throws BantamError when a file holds no results, or no page has a section for them.
 */
export async function writeReport(files: readonly string[], docs: string): Promise<string[]> {
  const written = new Set<string>();
  const read = await Promise.all(files.map((file) => readResults(file)));
  for (const results of joinRuns(read)) {
    const filled = sections(results);
    let found = false;
    for (const name of pages) {
      const path = join(docs, name);
      const page = await readFile(path, 'utf8').catch(() => '');
      if (![...filled.keys()].some((section) => page.includes(`<!-- bench:${section} -->`)))
        continue;
      found = true;
      await writeFile(path, fillSections(page, filled));
      written.add(path);
    }
    if (!found) {
      throw new BantamError(
        `No page in ${docs} has a section <!-- bench:${[...filled.keys()].join(' or ')} --> for the results of ${results.commandLine}; name the folder of the documentation with --docs.`,
      );
    }
    for (const [name, chart] of charts(results)) {
      const path = join(docs, 'images', name);
      await mkdir(join(docs, 'images'), { recursive: true });
      await writeFile(path, chart);
      written.add(path);
    }
  }
  return [...written];
}
