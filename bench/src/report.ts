import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BantamError } from '../../packages/bantam/dist/base/errors.js';
import { joinRuns } from './join-results.js';
import { ratioPicture, scalingPicture } from './pictures.js';
import { readResults, type Results } from './results.js';
import {
  machineLine,
  memoryTable,
  scalingTable,
  speedTable,
  startupTable,
  trialTable,
  zooTable,
} from './tables.js';

/** Pages that have places for results. */
const pages = ['performance.md', 'models.md'];

/** What the places `<!-- bench:NAME -->` … `<!-- /bench -->` of the documentation are filled with. */
export function sections(results: Results): ReadonlyMap<string, string> {
  const { command, skipped = [], scaling = [], startup = [] } = results;
  const below = `${machineLine(results.machine)}. \`${results.commandLine}\`, ${results.date.slice(0, 10)}.`;
  const left =
    skipped.length === 0
      ? 'No case was skipped.'
      : skipped.map(({ name, reason }) => `- \`${name}\`: ${reason}`).join('\n');
  const withFacts = (...parts: string[]): string => [...parts, below].join('\n\n');
  switch (command) {
    case 'run':
      return new Map([
        ['run', withFacts(speedTable(results), '![Ratios as bars](images/performance.svg)')],
        ['run-memory', memoryTable(results)],
        ['run-trials', trialTable(results)],
        ['run-skipped', left],
      ]);
    case 'zoo':
      return new Map([['zoo', withFacts(zooTable(results))]]);
    case 'scaling':
      return new Map([
        ['scaling', withFacts(scalingTable(scaling), '![Curves](images/scaling.svg)')],
      ]);
    case 'startup':
      return new Map([['startup', withFacts(startupTable(startup))]]);
  }
}

/** The pictures of results by file name. */
function pictures(results: Results): ReadonlyMap<string, string> {
  const { command, scaling = [] } = results;
  if (command === 'run') return new Map([['performance.svg', ratioPicture(results)]]);
  if (command === 'scaling') return new Map([['scaling.svg', scalingPicture(scaling)]]);
  return new Map();
}

/** The page with the sections in their places; places without a section stay as they are. */
export function fillPlaces(page: string, filled: ReadonlyMap<string, string>): string {
  return page.replace(
    /(<!-- bench:([\w-]+) -->\n)[^]*?(\n<!-- \/bench -->)/g,
    (place, open: string, name: string, close: string) => {
      const text = filled.get(name);
      return text === undefined ? place : `${open}\n${text}\n${close}`;
    },
  );
}

/**
 * Fills the documentation's places and draws its pictures from files of results; those of `run` may be
 * several, see {@link joinRuns}.
 *
 * @returns the files that were written
 * @throws BantamError when a file holds no results, or no page has a place for them.
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
      if (![...filled.keys()].some((place) => page.includes(`<!-- bench:${place} -->`))) continue;
      found = true;
      await writeFile(path, fillPlaces(page, filled));
      written.add(path);
    }
    if (!found) {
      throw new BantamError(
        `No page in ${docs} has a place <!-- bench:${[...filled.keys()][0] ?? ''} --> for the results of ${results.commandLine}; name the folder of the documentation with --docs.`,
      );
    }
    for (const [name, picture] of pictures(results)) {
      const path = join(docs, 'images', name);
      await mkdir(join(docs, 'images'), { recursive: true });
      await writeFile(path, picture);
      written.add(path);
    }
  }
  return [...written];
}
