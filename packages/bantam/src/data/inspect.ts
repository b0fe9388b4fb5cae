import { at } from '../base/at.js';
import { causeOf } from '../base/system-error.js';
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { DistinctCounter } from './distinct.js';
import { syntheticFraction } from './sources/captions.js';
import { evenlySpaced } from './contact-sheet.js';
import { decodeLocation } from './images/decode.js';
import { readLocation } from './images/location.js';
import type { Tokenizer } from '../text/index.js';
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
    /** Tokens of the captions, and how many captions fill the context: what is longer is cut. */
    readonly tokens?: Spread & { readonly context: number; readonly full: number };
    /** Set where there are too many distinct captions to count: the number is an estimate. */
    readonly estimated?: true;
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
  /** Counts the tokens of the captions. */
  readonly tokenizer?: Pick<Tokenizer, 'encode' | 'contextLength'>;
}

/** Counts, sizes, caption lengths, duplicates, classes and licences of a source. */
export async function inspectSource(
  source: Source,
  { decode = 500, compare = 30_000, tokenizer }: InspectOptions = {},
): Promise<SourceSummary> {
  return {
    spec: source.spec,
    records: source.size,
    samplesPerEpoch: samplesPerEpoch(source),
    ...(await summariseTexts(source, tokenizer)),
    images: {
      ...(await decodeSome(source, evenlySpaced(source.size, decode))),
      ...(await compareSome(source, evenlySpaced(source.size, compare))),
    },
    labels: summariseLabels(source),
    licences: source.licences,
    notes: source.notes ?? [],
  };
}

/** Numbers of captions and their lengths, in memory that does not grow with the records. */
async function summariseTexts(
  source: Source,
  tokenizer: InspectOptions['tokenizer'],
): Promise<Pick<SourceSummary, 'captions' | 'synthetic'>> {
  const { captionTemplates, size } = source;
  const characters = new Histogram();
  const words = new Histogram();
  const tokens = new Histogram();
  const distinct = new DistinctCounter();
  const sources = new Set<string>();
  let captioned = 0;
  let written = 0;
  const examples = new Set(evenlySpaced(size, 200));
  const shown: DataRecord[] = [];
  for (let index = 0; index < size; index++) {
    // Reading blocks: signals get their turn.
    if (index % 20_000 === 0) await setImmediate();
    const record = source.record(index);
    for (const caption of record.captions) {
      characters.add(caption.length);
      words.add(caption.split(/\s+/).filter(Boolean).length);
      distinct.add(caption);
      if (tokenizer !== undefined) tokens.add(tokenizer.encode(caption).length);
    }
    const { synthetic } = record;
    if (synthetic === undefined) continue;
    captioned++;
    written += synthetic.length;
    for (const caption of synthetic) sources.add(caption.source);
    if (shown.length < 3 || examples.has(index)) shown.push(record);
  }
  const { count } = characters;
  return {
    captions: {
      count,
      characters: characters.spread,
      words: words.spread,
      duplicates: Math.max(0, count - distinct.count),
      ...(tokenizer && {
        tokens: {
          ...tokens.spread,
          context: tokenizer.contextLength,
          full: tokens.of(tokenizer.contextLength),
        },
      }),
      ...(!distinct.isExact && { estimated: true }),
    },
    ...(captioned > 0 && {
      synthetic: {
        records: captioned,
        captions: written,
        sources: [...sources],
        fraction: captionTemplates.synthetic ?? syntheticFraction,
        examples: evenlySpaced(shown.length, 3).map((i) => {
          const { key, captions, synthetic = [] } = at(shown, i);
          return { key, captions, synthetic };
        }),
      },
    }),
  };
}

/** Counts of small whole numbers. */
class Histogram {
  readonly #counts = new Map<number, number>();
  count = 0;

  add(value: number): void {
    this.count++;
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + 1);
  }

  /** How often a value came. */
  of(value: number): number {
    return this.#counts.get(value) ?? 0;
  }

  get spread(): Spread {
    if (this.count === 0) return { min: 0, median: 0, max: 0 };
    const sorted = [...this.#counts].sort(([a], [b]) => a - b);
    const [first = [0, 0]] = sorted;
    const [max] = sorted.at(-1) ?? first;
    let left = Math.floor((this.count - 1) / 2);
    const middle = sorted.find(([, count]) => (left -= count) < 0) ?? first;
    return { min: first[0], median: middle[0], max };
  }
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
      broken.push({ key: source.record(index).key, reason: causeOf(error) });
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
  return Object.entries(source.labelSets).map(([name, { classes, labels, several }]) => {
    const counts = new Array<number>(classes.length).fill(0);
    let unlabelled = 0;
    for (const own of several ?? Array.from(labels, (label) => (label < 0 ? [] : [label]))) {
      if (own.length === 0) unlabelled++;
      for (const label of own) counts[label] = at(counts, label) + 1;
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
