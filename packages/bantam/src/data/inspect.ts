import { at } from '../base/at.js';
import { createHash } from 'node:crypto';
import { syntheticFraction } from './sources/captions.js';
import { evenlySpaced } from './contact-sheet.js';
import { decodeLocation } from './images/decode.js';
import { readLocation } from './images/location.js';
import type { SourceNote } from './sources/notes.js';
import { samplesPerEpoch } from './loader/order.js';
import type { QuarantinedSample } from './loader/quarantine.js';
import type { DataRecord, LicenceNotice, Source } from './sources/source.js';

/** Least, middle and greatest of some numbers. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** Classes of a label set and how many records they have. */
export interface LabelSummary {
  readonly name: string;
  readonly classes: number;
  readonly unlabelled: number;
  readonly largest: { readonly name: string; readonly records: number };
  readonly smallest: { readonly name: string; readonly records: number };
}

/** Captions that models wrote for a source's images. */
export interface SyntheticSummary {
  /** Records that have synthetic captions. */
  readonly records: number;
  readonly captions: number;
  /** Their captioners. */
  readonly sources: readonly string[];
  /** Probability that training samples one where there are any. */
  readonly fraction: number;
  /** Some records with both kinds of captions, evenly spaced. */
  readonly examples: readonly Pick<DataRecord, 'key' | 'captions' | 'synthetic'>[];
}

export interface SourceSummary {
  readonly spec: string;
  readonly records: number;
  readonly samplesPerEpoch: number;
  readonly captions: {
    readonly count: number;
    readonly characters: Spread;
    readonly words: Spread;
    /** Captions that repeat an earlier one. */
    readonly duplicates: number;
  };
  /** Absent where there are no synthetic captions. */
  readonly synthetic?: SyntheticSummary;
  readonly images: {
    /** Images that were decoded for what follows. */
    readonly decoded: number;
    readonly width: Spread;
    readonly height: Spread;
    readonly broken: readonly QuarantinedSample[];
    /** Images whose bytes were compared, and how many equal those of an earlier one. */
    readonly compared: number;
    readonly duplicates: number;
  };
  readonly labels: readonly LabelSummary[];
  readonly licences: readonly LicenceNotice[];
  /** Report of what was left out, changed or noticed. */
  readonly notes: readonly SourceNote[];
}

export interface InspectOptions {
  /** Images to decode, evenly spaced; 500 by default. */
  readonly decode?: number;
  /** Images to compare by their bytes, evenly spaced; 30,000 by default. */
  readonly compare?: number;
}

/** Counts, sizes, caption lengths, duplicates, classes and licences of a source. */
export async function inspectSource(
  source: Source,
  { decode = 500, compare = 30_000 }: InspectOptions = {},
): Promise<SourceSummary> {
  const records = Array.from({ length: source.size }, (_, i) => source.record(i));
  const captions = records.flatMap((record) => record.captions);
  return {
    spec: source.spec,
    records: source.size,
    samplesPerEpoch: samplesPerEpoch(source),
    captions: {
      count: captions.length,
      characters: spread(captions.map((caption) => caption.length)),
      words: spread(captions.map((caption) => caption.split(/\s+/).filter(Boolean).length)),
      duplicates: captions.length - new Set(captions).size,
    },
    ...summariseSynthetic(source, records),
    images: {
      ...(await decodeSome(source, evenlySpaced(source.size, decode))),
      ...(await compareSome(source, evenlySpaced(source.size, compare))),
    },
    labels: summariseLabels(source),
    licences: source.licences,
    notes: source.notes ?? [],
  };
}

function summariseSynthetic(
  { captionTemplates }: Source,
  records: readonly DataRecord[],
): Pick<SourceSummary, 'synthetic'> {
  const captioned = records.filter(({ synthetic }) => synthetic !== undefined);
  if (captioned.length === 0) return {};
  const written = captioned.flatMap(({ synthetic = [] }) => synthetic);
  const examples = evenlySpaced(captioned.length, 3).map((index) => at(captioned, index));
  return {
    synthetic: {
      records: captioned.length,
      captions: written.length,
      sources: [...new Set(written.map(({ source }) => source))],
      fraction: captionTemplates.synthetic ?? syntheticFraction,
      examples: examples.map(({ key, captions, synthetic = [] }) => ({ key, captions, synthetic })),
    },
  };
}

async function decodeSome(source: Source, indices: readonly number[]) {
  const widths: number[] = [];
  const heights: number[] = [];
  const broken: QuarantinedSample[] = [];
  for (const index of indices) {
    try {
      const { width, height } = await decodeLocation(source.location(index));
      widths.push(width);
      heights.push(height);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      broken.push({ key: source.record(index).key, reason });
    }
  }
  return { decoded: widths.length, width: spread(widths), height: spread(heights), broken };
}

async function compareSome(source: Source, indices: readonly number[]) {
  const seen = new Set<string>();
  let compared = 0;
  for (const index of indices) {
    const bytes = await readLocation(source.location(index)).catch(() => undefined);
    if (bytes === undefined) continue;
    compared++;
    seen.add(createHash('sha1').update(bytes).digest('base64'));
  }
  return { compared, duplicates: compared - seen.size };
}

function summariseLabels(source: Source): LabelSummary[] {
  return Object.entries(source.labelSets).map(([name, { classes, labels }]) => {
    const counts = new Array<number>(classes.length).fill(0);
    let unlabelled = 0;
    for (const label of labels) {
      if (label < 0) unlabelled++;
      else counts[label] = at(counts, label) + 1;
    }
    const ranked = classes
      .map((className, id) => ({ name: className, records: at(counts, id) }))
      .filter(({ records }) => records > 0)
      .sort((a, b) => b.records - a.records);
    const none = { name: '', records: 0 };
    return {
      name,
      classes: ranked.length,
      unlabelled,
      largest: ranked[0] ?? none,
      smallest: ranked.at(-1) ?? none,
    };
  });
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  if (sorted.length === 0) return { min: 0, median: 0, max: 0 };
  const quantile = (fraction: number): number =>
    at(sorted, Math.floor((sorted.length - 1) * fraction));
  return { min: quantile(0), median: quantile(0.5), max: quantile(1) };
}
