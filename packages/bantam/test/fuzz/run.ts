/**
 * Runs one target on some inputs, in this process: what `main.ts` starts, and watches.
 *
 *     node run.js NAME --seed S --from I --to N --progress FILE
 *     node run.js NAME --input FILE
 *
 * Ends with status 3 and a sentence where the target breaks what it promises.
 */
import { mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Random } from './mutate.js';
import type { FuzzTarget } from './targets.js';

export interface FuzzModule {
  readonly targets: readonly FuzzTarget[];
}

/** The target of that name; `path` is a module with a table of targets. */
export async function findTarget(name: string, path: string): Promise<FuzzTarget> {
  const { targets } = (await import(pathToFileURL(path).href)) as FuzzModule;
  const target = targets.find((each) => each.name === name);
  if (target === undefined) {
    const names = targets.map((each) => each.name).join(', ');
    throw new RangeError(`There is no target "${name}"; there are ${names}.`);
  }
  return target;
}

/** The input of that number: the same in every process. */
export function makeInput(
  { mutate }: FuzzTarget,
  seeds: readonly Buffer[],
  { seed, index }: { seed: number; index: number },
): Buffer {
  const random = new Random(seed, index);
  return mutate(Buffer.from(random.pick(seeds)), random, seeds);
}

/** Why an input is a failure of the target; otherwise whether it was read to its end or refused. */
async function judge(
  { run, allowed }: FuzzTarget,
  input: Buffer,
  folder: string,
): Promise<'read' | 'refused' | { problem: string }> {
  try {
    await run(input, folder);
    return 'read';
  } catch (error) {
    if (allowed.some((kind) => error instanceof kind)) return 'refused';
    const problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { problem };
  }
}

const peak = (): number => process.resourceUsage().maxRSS * 1024;

/** Writes how far it is, as main.ts must know it whatever happens to this process. */
function progressTo(path: string | undefined): (index: number) => void {
  if (path === undefined) return () => undefined;
  const file = openSync(path, 'w');
  return (index) => writeSync(file, String(index).padEnd(12), 0);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      targets: { type: 'string', default: new URL('targets.js', import.meta.url).pathname },
      seed: { type: 'string', default: '1' },
      from: { type: 'string', default: '0' },
      to: { type: 'string', default: '0' },
      // MiB by which an input may raise the process's memory.
      memory: { type: 'string', default: '1024' },
      progress: { type: 'string' },
      input: { type: 'string' },
    },
  });
  const target = await findTarget(positionals[0] ?? '', values.targets);
  const folder = mkdtempSync(join(tmpdir(), `bantam-fuzz-${target.name}-`));
  try {
    if (values.input !== undefined) {
      const judgement = await judge(target, readFileSync(values.input), folder);
      const isFailure = typeof judgement === 'object';
      console.log(isFailure ? judgement.problem : `The target keeps its promise: ${judgement}.`);
      return isFailure ? 3 : 0;
    }
    const seeds = await target.seeds(folder);
    for (const seed of seeds) {
      const judgement = await judge(target, seed, folder);
      if (typeof judgement === 'object') {
        throw new Error(`A seed of "${target.name}" fails: ${judgement.problem}`);
      }
    }
    const tell = progressTo(values.progress);
    const seed = Number(values.seed);
    let read = 0;
    for (let index = Number(values.from); index < Number(values.to); index++) {
      tell(index);
      const input = makeInput(target, seeds, { seed, index });
      const before = peak();
      const judgement = await judge(target, input, folder);
      if (typeof judgement === 'object') {
        console.log(judgement.problem);
        return 3;
      }
      const taken = (peak() - before) / 2 ** 20;
      if (taken > Number(values.memory)) {
        console.log(`It took ${Math.round(taken)} MiB.`);
        return 3;
      }
      if (judgement === 'read') read++;
    }
    const tried = Number(values.to) - Number(values.from);
    console.log(`${read} were read, ${tried - read} refused`);
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.exitCode = await main();
