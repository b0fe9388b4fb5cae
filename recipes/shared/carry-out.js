/** Carrying a recipe's study out. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runBantam } from './runs.js';

/**
 * Writes a study into its folder and carries it out with `bantam study`, whose table it prints.
 *
 * @param {{ out: string, jobs: string }} values of the command line
 * @param {import('bantam').StudyOptions} study
 */
export async function carryOut({ out, jobs }, study) {
  const file = join(out, 'recipe.json');
  writeFileSync(file, JSON.stringify(study, null, 2));
  const args = ['study', file, '--out', out, '--processes', jobs];
  const log = join(out, 'study.log');
  const { status, output } = await runBantam(args, { log, threads: 'all' });
  if (output !== '') console.log(output);
  if (status === 0) return;
  const [, cause = 'its last line says why'] =
    /^error: (.*)$/m.exec(readFileSync(log, 'utf8')) ?? [];
  throw new Error(`The study failed, see ${log}: ${cause}`);
}
