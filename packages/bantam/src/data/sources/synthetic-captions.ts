import { BantamError } from '../../base/errors.js';
import { syntheticShare } from './captions.js';
import type { SourceSpec } from './spec.js';
import type { DataRecord, Source, SyntheticCaption } from './source.js';
import { readCaptionFile, type CaptionFile } from './caption-file.js';

/**
 * Lays synthetic captions over a source's records by their keys, as the options of its specification
 * say: `captions=FILE.jsonl`, several times for several files, and `synthetic=SHARE`, the chance
 * that a training caption is a synthetic one where a record has any. The real captions stay what
 * they were, and evaluation sees no others.
 *
 * @throws BantamError when a file cannot be read or belongs to other data, or the share is none.
 */
export async function addSyntheticCaptions(
  source: Source,
  { text, synthetic: { files, share } }: SourceSpec,
): Promise<Source> {
  if (files.length === 0 && share === undefined) return source;
  const recipe =
    share === undefined ? source.recipe : { ...source.recipe, synthetic: readShare(share, text) };
  const records = Array.from({ length: source.size }, (_, index) => source.record(index));
  const keys = new Set(records.map(({ key }) => key));
  const added = new Map<string, SyntheticCaption[]>();
  const notes: string[] = [];
  for (const path of files) {
    const file = await readCaptionFile(path);
    refuseOther(path, file, { text, keys });
    for (const [key, captions] of file.captions) {
      if (keys.has(key)) added.set(key, [...(added.get(key) ?? []), ...captions]);
    }
    if (file.cutOff.length > 0) {
      notes.push(
        `The last line of "${path}" is cut off; the ${file.captions.size} pictures before it are used.`,
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
      `"${text}" says how often synthetic captions are drawn, but its records have none; name a file with captions=FILE.jsonl.`,
    );
  }
  const { spec, size, labelSets, augment, grouping, licences } = source;
  return {
    spec,
    size,
    labelSets,
    recipe,
    augment,
    ...(grouping && { grouping }),
    licences,
    notes: [
      ...(source.notes ?? []),
      ...notes,
      `${count} of ${size} records have synthetic captions; where a record has some, training draws one with probability ${recipe.synthetic ?? syntheticShare}.`,
    ],
    record: (index) => withAdded(source.record(index)),
    location: (index) => source.location(index),
    image: (index) => source.image(index),
  };
}

function readShare(share: string, text: string): number {
  const value = share.trim() === '' ? NaN : Number(share);
  if (value >= 0 && value <= 1) return value;
  throw new BantamError(
    `The share of synthetic captions "${share}" in "${text}" is no number from 0 to 1.`,
  );
}

/** Throws for a file without captions, or whose pictures are none of the source's. */
function refuseOther(
  path: string,
  { captions, headers }: CaptionFile,
  { text, keys }: { text: string; keys: ReadonlySet<string> },
): void {
  const [first] = captions.keys();
  if (first === undefined) {
    throw new BantamError(
      `The caption file "${path}" holds no captions yet; go on with the "bantam data caption" that began it.`,
    );
  }
  for (const key of captions.keys()) if (keys.has(key)) return;
  const [own = ''] = keys;
  const made = headers[0] === undefined ? '' : `, made for "${headers[0].data}",`;
  throw new BantamError(
    `The caption file "${path}"${made} has captions of other data than "${text}": its pictures are called as "${first}", those of the data as "${own}"; name the file of these data.`,
  );
}
