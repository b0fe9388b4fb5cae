import { setImmediate } from 'node:timers/promises';
import { BantamError } from '../../base/errors.js';
import { syntheticFraction } from './captions.js';
import { NoteBook } from './notes.js';
import type { SourceSpec } from './spec.js';
import type { DataRecord, Source } from './source.js';
import { CaptionLookup } from './caption-lookup.js';

/**
 * Lays synthetic captions over a source's records by their keys, as the options of its specification
 * say: `captions=FILE.jsonl`, several times for several files, and `synthetic=FRACTION`, the chance
 * that a training caption is a synthetic one where a record has any. The real captions stay what
 * they were, and evaluation sees no others.
 *
 * @throws BantamError when a file cannot be read or belongs to other data, or the fraction is not one.
 */
export async function addSyntheticCaptions(
  source: Source,
  { text, synthetic: { files, fraction } }: SourceSpec,
): Promise<Source> {
  if (files.length === 0 && fraction === undefined) return source;
  const sampled = fraction === undefined ? {} : { synthetic: readFraction(fraction, text) };
  const captionTemplates = { ...source.captionTemplates, ...sampled };
  const notes = new NoteBook();
  const lookups = files.map((path) => new CaptionLookup(path));
  for (const lookup of lookups) {
    if (lookup.isCutOff) {
      notes.info(
        `The last line of "${lookup.path}" is cut off; the ${lookup.size} images before it are used.`,
      );
    }
  }
  const withAdded = (record: DataRecord): DataRecord => {
    const added = lookups.flatMap((lookup) => lookup.get(record.key) ?? []);
    const templates =
      fraction === undefined || record.captionTemplates === undefined
        ? {}
        : { captionTemplates: { ...record.captionTemplates, ...sampled } };
    return added.length === 0
      ? { ...record, ...templates }
      : { ...record, ...templates, synthetic: [...(record.synthetic ?? []), ...added] };
  };
  const unmatched = new Set(lookups);
  let count = 0;
  for (let index = 0; index < source.size; index++) {
    // Reading blocks: signals get their turn.
    if (index % 20_000 === 0) await setImmediate();
    const { key, synthetic } = source.record(index);
    const found = lookups.filter((lookup) => lookup.has(key));
    for (const lookup of found) unmatched.delete(lookup);
    if (found.length > 0 || synthetic !== undefined) count++;
  }
  for (const lookup of unmatched) refuseOther(lookup, { text, own: source.record(0).key });
  if (count === 0) {
    throw new BantamError(
      `"${text}" says how often synthetic captions are sampled, but its records have none; name a file with captions=FILE.jsonl.`,
    );
  }
  const { spec, size, labelSets, augment, grouping, mixture, licences } = source;
  notes.info(
    `${count} of ${size} records have synthetic captions; where a record has some, training samples one with probability ${captionTemplates.synthetic ?? syntheticFraction}.`,
  );
  return {
    spec,
    size,
    labelSets,
    captionTemplates,
    augment,
    ...(grouping && { grouping }),
    ...(mixture && { mixture }),
    licences,
    notes: [...(source.notes ?? []), ...notes.notes],
    record: (index) => withAdded(source.record(index)),
    location: (index) => source.location(index),
    image: (index) => source.image(index),
  };
}

function readFraction(fraction: string, text: string): number {
  const value = fraction.trim() === '' ? NaN : Number(fraction);
  if (value >= 0 && value <= 1) return value;
  throw new BantamError(
    `The fraction of synthetic captions "${fraction}" in "${text}" is not a number from 0 to 1.`,
  );
}

/** Throws for a file without captions, or whose images are none of the source's. */
function refuseOther(
  { path, header, firstKey }: CaptionLookup,
  { text, own }: { text: string; own: string },
): never {
  if (firstKey === undefined) {
    throw new BantamError(
      `The caption file "${path}" holds no captions yet; resume the "bantam data caption" that began it.`,
    );
  }
  const made = header === undefined ? '' : `, made for "${header.data}",`;
  throw new BantamError(
    `The caption file "${path}"${made} has captions of other data than "${text}": its images are called as "${firstKey}", those of the data as "${own}"; name the file of these data.`,
  );
}
