import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { writeFileAtomic } from '@bantam/torch';
import { isObject } from '../../base/schema.js';
import { otherWorkingFolder, storedWorkingFolder } from '../../base/working-folder.js';
import { samplesPerEpoch, type Source } from '../../data/index.js';
import { runPaths } from './paths.js';

/** Records that are compared, evenly spaced; all of smaller sources. */
const mostRecords = 100_000;
/** Image files whose sizes are compared. */
const mostFiles = 1000;

/** Digest of the data that a run's order of samples depends on, to notice a change before it resumes. */
export interface DataFingerprint {
  readonly records: number;
  readonly samplesPerEpoch: number;
  /** SHA-256 of keys, captions and labels, and of the sizes of some image files. */
  readonly digest: string;
}

/** Of a fingerprint that is read from a file: what is compared. */
type KeptFingerprint = Pick<DataFingerprint, 'records' | 'digest'>;

/** True if a value read from a file has what {@link describeChange} compares. */
export function isFingerprint(value: unknown): value is KeptFingerprint {
  return isObject(value) && typeof value.records === 'number' && typeof value.digest === 'string';
}

/** The fingerprint of a source. */
export async function dataFingerprint(source: Source): Promise<DataFingerprint> {
  const { size } = source;
  const digest = createHash('sha256');
  const step = Math.max(1, size / mostRecords);
  const fileStep = Math.max(1, size / mostFiles);
  for (let position = 0; position < size; position += step) {
    const index = Math.floor(position);
    // Reading blocks: signals get their turn.
    if (index % 20_000 < step) await setImmediate();
    const { key, captions, synthetic, label } = source.record(index);
    digest.update(JSON.stringify([key, captions, synthetic, label]));
  }
  for (let position = 0; position < size; position += fileStep) {
    const { path, range, page } = source.location(Math.floor(position));
    const bytes = range?.length ?? statSync(path, { throwIfNoEntry: false })?.size ?? -1;
    digest.update(JSON.stringify([range?.offset, bytes, page?.row]));
  }
  return {
    records: size,
    samplesPerEpoch: samplesPerEpoch(source),
    digest: digest.digest('hex'),
  };
}

/** Keeps the fingerprint of a new run's data, and the folder that the run begins in. */
export async function keepDataFingerprint(run: string, source: Source): Promise<void> {
  const kept = { ...(await dataFingerprint(source)), began: storedWorkingFolder(run) };
  const text = `${JSON.stringify(kept, null, 2)}\n`;
  writeFileAtomic(runPaths(run).data, [Buffer.from(text)]);
}

/** In which way a source differs from the data of a fingerprint, in a clause; undefined: in none. */
export async function describeChange(
  kept: KeptFingerprint,
  source: Source,
): Promise<string | undefined> {
  const { records, digest } = await dataFingerprint(source);
  if (kept.digest === digest) return undefined;
  return kept.records === records
    ? `still ${records} records, but others or with other captions, labels or files`
    : `${kept.records} records then, ${records} now`;
}

/** A sentence if the data of a run are not those that it began with; runs may have no fingerprint. */
export async function dataChange(run: string, source: Source): Promise<string | undefined> {
  const kept = readKept(run);
  const change = isFingerprint(kept) ? await describeChange(kept, source) : undefined;
  if (change === undefined) return undefined;
  return `The data "${source.spec}" have changed since this run began (${change}): from here on it sees other samples than it would have, and its result differs from that of an uninterrupted run.`;
}

/** The folder that a run began in, if it is another than the current one; runs may not have kept it. */
export function otherBeginning(run: string): string | undefined {
  const began = readKept(run)?.began;
  return typeof began === 'string' ? otherWorkingFolder(began, run) : undefined;
}

function readKept(run: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const kept: unknown = JSON.parse(readFileSync(runPaths(run).data, 'utf8'));
    return isObject(kept) ? kept : undefined;
  } catch {
    return undefined;
  }
}
