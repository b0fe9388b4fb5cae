import type { SourceNote } from '../notes.js';
import { BantamError } from '../../../base/errors.js';
import { photoAugment } from '../../augment/presets.js';
import { readLocation, type ImageLocation } from '../../images/location.js';
import { plainCaptions, type DataRecord, type LabelSet, type Source } from '../source.js';

/** A record and the file of its image. */
export interface FileItem extends DataRecord {
  readonly path: string;
}

/** Records whose images are files of their own. */
export class FileSource implements Source {
  readonly captionTemplates = plainCaptions;
  readonly augment = photoAugment;
  readonly licences = [];
  readonly notes: readonly SourceNote[];
  readonly size: number;
  readonly labelSets: Readonly<Record<string, LabelSet>>;
  readonly #items: readonly FileItem[];

  constructor(
    readonly spec: string,
    items: readonly FileItem[],
    { templates, notes = [] }: { templates: readonly string[]; notes?: readonly SourceNote[] },
  ) {
    if (items.length === 0) throw new BantamError(`The data set "${spec}" is empty.`);
    this.#items = items;
    this.notes = notes;
    this.size = items.length;
    const names = items.flatMap(({ label }) => (label === undefined ? [] : [label]));
    const classes = [...new Set(names)].sort();
    const ids = new Map(classes.map((name, id) => [name, id]));
    const labels = Int32Array.from(items, ({ label }) =>
      label === undefined ? -1 : (ids.get(label) ?? -1),
    );
    this.labelSets = classes.length === 0 ? {} : { label: { classes, templates, labels } };
  }

  record(index: number): DataRecord {
    const { key, captions, label, meta } = this.#item(index);
    return { key, captions, meta, ...(label !== undefined && { label }) };
  }

  location(index: number): ImageLocation {
    return { path: this.#item(index).path };
  }

  image(index: number): Promise<Uint8Array> {
    return readLocation(this.location(index));
  }

  #item(index: number): FileItem {
    const item = this.#items[index];
    if (item === undefined) throw new RangeError(`${this.spec} has no record ${index}`);
    return item;
  }
}
