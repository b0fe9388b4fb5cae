import { BantamError } from '../../base/errors.js';
import { syntheticFraction } from './captions.js';
import { NoteBook } from './notes.js';
import type { SourceSpec } from './spec.js';
import type { DataRecord, Source, SyntheticCaption } from './source.js';
import { readCaptionFile, type CaptionFile } from './caption-file.js';

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
  const captionTemplates =
    fraction === undefined
      ? source.captionTemplates
      : { ...source.captionTemplates, synthetic: readFraction(fraction, text) };
  const records = Array.from({ length: source.size }, (_, index) => source.record(index));
  const keys = new Set(records.map(({ key }) => key));
  const added = new Map<string, SyntheticCaption[]>();
  const notes = new NoteBook();
  for (const path of files) {
    const file = await readCaptionFile(path);
    refuseOther(path, file, { text, keys });
    for (const [key, captions] of file.captions) {
      if (keys.has(key)) added.set(key, [...(added.get(key) ?? []), ...captions]);
    }
    if (file.cutOff.length > 0) {
      notes.info(
        `The last line of "${path}" is cut off; the ${file.captions.size} images before it are used.`,
      );
    }
  }
  const withAdded = (record: DataRecord): DataRecord => {
    const captions = added.get(record.key);
    return captions === undefined
      ? record
      : { ...record, synthetic: [...(record.synthetic ?? []), ...captions] };
  };
  const count = records.filter((record) => withAdded(record).synthetic !== undefined).length;
  if (count === 0) {
    throw new BantamError(
      `"${text}" says how often synthetic captions are sampled, but its records have none; name a file with captions=FILE.jsonl.`,
    );
  }
  const { spec, size, labelSets, augment, grouping, licences } = source;
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
  path: string,
  { captions, headers }: CaptionFile,
  { text, keys }: { text: string; keys: ReadonlySet<string> },
): void {
  const [first] = captions.keys();
  if (first === undefined) {
    throw new BantamError(
      `The caption file "${path}" holds no captions yet; resume the "bantam data caption" that began it.`,
    );
  }
  for (const key of captions.keys()) if (keys.has(key)) return;
  const [own = ''] = keys;
  const made = headers[0] === undefined ? '' : `, made for "${headers[0].data}",`;
  throw new BantamError(
    `The caption file "${path}"${made} has captions of other data than "${text}": its images are called as "${first}", those of the data as "${own}"; name the file of these data.`,
  );
}
