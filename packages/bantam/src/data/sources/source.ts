import type { ImageLocation } from '../images/location.js';
import type { SourceNote } from './notes.js';
import type { ImageAugment } from '../augment/schema.js';

/** Texts and facts of one sample; `source.image(i)` gives its image. */
export interface DataRecord {
  /** Unique within its source, stable across runs, e.g. `twemoji/1f600`. */
  readonly key: string;
  /** The captions of the image, the plainest first; none only in sources that say so in their notes. */
  readonly captions: readonly string[];
  /** Captions that a model wrote, for training alone; see {@link CaptionTemplates.synthetic}. */
  readonly synthetic?: readonly SyntheticCaption[];
  /** Name of the sample's class, where the source has classes. */
  readonly label?: string;
  /** Its own caption templates, where they are not those of the source. */
  readonly captionTemplates?: CaptionTemplates;
  /** Further named facts, such as the art style of an emoji or the other columns of a table. */
  readonly meta: Readonly<Record<string, string>>;
}

/** A caption that a model wrote. */
export interface SyntheticCaption {
  readonly text: string;
  /** The captioner: `coca:NAME` or `endpoint:MODEL`. */
  readonly source: string;
}

/** One way of classifying a source's records, with what a zero-shot classifier needs. */
export interface LabelSet {
  /** Class names as people say them. */
  readonly classes: readonly string[];
  /** Prompts with the class name marked `{}`. */
  readonly templates: readonly string[];
  /**
   * Class of each record, an index into `classes`; -1 where a record has none, or where records have
   * {@link several}.
   */
  readonly labels: Int32Array;
  /** Classes of each record where an image may have several, or none; absent where it has one. */
  readonly several?: readonly Int32Array[];
}

/** Groups of records: an epoch visits one member of each group, sampled anew for each epoch. */
export interface Grouping {
  /** Group of each record: 0 … count-1, none empty. */
  readonly groups: Int32Array;
  readonly count: number;
  /** Chance of each record within its group, up to a factor; equal chances if absent. */
  readonly weights?: Float32Array;
}

/** A source within a mix, and how many of its samples an epoch has. */
export interface MixturePart {
  /** Its first record within the mix. */
  readonly start: number;
  readonly size: number;
  /** Samples of an epoch of the mix. */
  readonly samples: number;
  readonly grouping?: Grouping;
  readonly mixture?: readonly MixturePart[];
}

/** How a training caption is made of a record; see {@link sampleCaption}. */
export interface CaptionTemplates {
  readonly templates: readonly CaptionTemplate[];
  /**
   * Probability of one of the record's synthetic captions instead of a template, if it has any;
   * 0.5 by default, which is ours.
   */
  readonly synthetic?: number;
}

/** A caption template, sampled with a probability proportional to `weight`. */
export interface CaptionTemplate {
  readonly weight: number;
  /**
   * Text with fields in braces: `{caption}` is one of the record's captions, `{NAME}` a field of
   * its metadata, `{NAME:n}` one to n shuffled members of a comma-separated field.
   */
  readonly template: string;
}

/** The licence under which (a part of) a source's images come. */
export interface LicenceNotice {
  readonly part: string;
  readonly licence: string;
  readonly attribution: string;
  /** File with the full notice, where one is kept. */
  readonly path?: string;
}

/** A data set: records in a fixed order, each with an image. */
export interface Source {
  /** The specification that {@link openSource} opens this source from. */
  readonly spec: string;
  readonly size: number;
  /** Classifications by name, e.g. `label`, or `subgroup` and `group`. */
  readonly labelSets: Readonly<Record<string, LabelSet>>;
  readonly captionTemplates: CaptionTemplates;
  /** The augmentation that suits its images. */
  readonly augment: ImageAugment;
  readonly grouping?: Grouping;
  /** The sources of a mix, and what an epoch takes of each; all records equally if absent. */
  readonly mixture?: readonly MixturePart[];
  readonly licences: readonly LicenceNotice[];
  /** Report of what was left out, changed or noticed on opening. */
  readonly notes?: readonly SourceNote[];
  record(index: number): DataRecord;
  location(index: number): ImageLocation;
  /** Bytes of the image as an image file (PNG, JPEG, WebP, …). */
  image(index: number): Promise<Uint8Array>;
}

/** Receives the progress of opening a source, file by file. */
export type OpenProgress = (progress: {
  readonly what: string;
  readonly done: number;
  readonly total: number;
}) => void;

/** The caption templates of a record of a source. */
export function templatesOf(
  { captionTemplates }: Pick<Source, 'captionTemplates'>,
  record: DataRecord,
): CaptionTemplates {
  return record.captionTemplates ?? captionTemplates;
}

/** Caption templates of sources that have nothing but captions: one of them, all equally likely. */
export const plainCaptions: CaptionTemplates = {
  templates: [{ weight: 1, template: '{caption}' }],
};
