import { photoAugment } from '../augment/presets.js';
import { readLocation, type ImageLocation } from '../images/location.js';
import type { SourceNote } from './notes.js';
import {
  plainCaptions,
  type DataRecord,
  type LabelSet,
  type LicenceNotice,
  type Source,
} from './source.js';

/** Photographs with captions of their own: the base of folders, tables and shards. */
export abstract class PhotoSource implements Source {
  readonly captionTemplates = plainCaptions;
  readonly augment = photoAugment;
  readonly licences: readonly LicenceNotice[] = [];
  abstract readonly size: number;
  abstract readonly labelSets: Readonly<Record<string, LabelSet>>;
  abstract readonly notes: readonly SourceNote[];

  constructor(readonly spec: string) {}

  abstract record(index: number): DataRecord;
  abstract location(index: number): ImageLocation;

  image(index: number): Promise<Uint8Array> {
    return readLocation(this.location(index));
  }

  /** The error for a record that there is not. */
  protected missing(index: number): RangeError {
    return new RangeError(`${this.spec} has no record ${index}`);
  }
}

/** A class for each different name, in the order of the names; records without one have none. */
export function labelSetOf(
  names: readonly (string | undefined)[],
  templates: readonly string[],
): LabelSet {
  const classes = [...new Set(names.filter((name) => name !== undefined))].sort();
  const ids = new Map(classes.map((name, id) => [name, id]));
  const labels = Int32Array.from(names, (name) =>
    name === undefined ? -1 : (ids.get(name) ?? -1),
  );
  return { classes, templates, labels };
}
