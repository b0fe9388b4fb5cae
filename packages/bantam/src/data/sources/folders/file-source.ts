import type { SourceNote } from '../notes.js';
import { BantamError } from '../../../base/errors.js';
import type { ImageLocation } from '../../images/location.js';
import { labelSetOf, PhotoSource } from '../photo-source.js';
import type { DataRecord, LabelSet } from '../source.js';

/** A record and the file of its image. */
export interface FileItem extends DataRecord {
  readonly path: string;
}

/** Records whose images are files of their own. */
export class FileSource extends PhotoSource {
  readonly notes: readonly SourceNote[];
  readonly size: number;
  readonly labelSets: Readonly<Record<string, LabelSet>>;
  readonly #items: readonly FileItem[];

  constructor(
    spec: string,
    items: readonly FileItem[],
    { templates, notes = [] }: { templates: readonly string[]; notes?: readonly SourceNote[] },
  ) {
    if (items.length === 0) throw new BantamError(`The data set "${spec}" is empty.`);
    super(spec);
    this.#items = items;
    this.notes = notes;
    this.size = items.length;
    const label = labelSetOf(
      items.map((item) => item.label),
      templates,
    );
    this.labelSets = label.classes.length === 0 ? {} : { label };
  }

  record(index: number): DataRecord {
    const { key, captions, label, meta } = this.#item(index);
    return { key, captions, meta, ...(label !== undefined && { label }) };
  }

  location(index: number): ImageLocation {
    return { path: this.#item(index).path };
  }

  #item(index: number): FileItem {
    const item = this.#items[index];
    if (item === undefined) throw this.missing(index);
    return item;
  }
}
