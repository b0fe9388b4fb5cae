import { BantamError } from '../../base/errors.js';
import {
  readSubset,
  splitByKeys,
  writeSubset,
  type HeldOutSplit,
  type Source,
} from '../../data/index.js';
import { runPaths } from './paths.js';

/** Keeps the keys that a new run holds out, as a subset of its data. */
export function keepHeldOut(run: string, { kept, heldOut, keys }: HeldOutSplit): void {
  const header = {
    bantam: 'subset',
    format: 1,
    data: kept.spec,
    of: kept.size + heldOut.size,
    size: keys.length,
    criteria: [{ type: 'held out' }],
    scores: [],
  } as const;
  writeSubset(runPaths(run).heldOut, header, keys);
}

/**
 * The data of a run, split as it began.
 *
 * @throws BantamError if the keys cannot be read, or none is in the data.
 */
export async function readHeldOut(run: string, source: Source): Promise<HeldOutSplit> {
  const file = runPaths(run).heldOut;
  try {
    const { keys } = await readSubset(file);
    return splitByKeys(source, [...keys]);
  } catch (error) {
    if (!(error instanceof BantamError)) throw error;
    throw new BantamError(
      `The run in ${run} cannot be resumed without the records that it holds out. ${error.message}`,
      { cause: error },
    );
  }
}
