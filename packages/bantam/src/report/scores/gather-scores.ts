import { at } from '../../base/at.js';
import { UsageError } from '../../base/errors.js';
import {
  groupByHash,
  groupByLeader,
  Pool,
  scoreAgreement,
  uniformOfKey,
  type LicenceNotice,
  type ScoreAgreement,
  type ScoreHeader,
  type ScoreTables,
  type Source,
} from '../../data/index.js';
import type { Thumbnail } from '../report-data.js';
import { thumbnailOf } from '../thumbnail.js';

/** An image with its scores. */
export interface ScoredThumbnail extends Thumbnail {
  readonly key: string;
  readonly score?: number;
}

/** Records between two cuts, by score. */
export interface ScoreBand {
  /** Fractions of the whole, the highest first: from 0 to 0.2 is the top 20 %. */
  readonly from: number;
  readonly to: number;
  /** Lowest and highest score in it. */
  readonly low: number;
  readonly high: number;
  readonly records: number;
  /** A random sample of it, by score. */
  readonly examples: readonly ScoredThumbnail[];
}

/** A score on the page. */
export interface ShownScore {
  readonly name: string;
  /** Values of the records that have one. */
  readonly values: Float64Array;
  readonly bands: readonly ScoreBand[];
}

/** Near-duplicates by one score. */
export interface DuplicateSummary {
  readonly name: string;
  /** Records that are duplicates of another. */
  readonly duplicates: number;
  readonly groups: number;
  /** The largest groups. */
  readonly examples: readonly {
    readonly size: number;
    readonly images: readonly ScoredThumbnail[];
  }[];
}

/** Contents of the page of scores. Plain data. */
export interface ScorePageData {
  readonly spec: string;
  readonly date: Date;
  readonly records: number;
  readonly headers: readonly ScoreHeader[];
  readonly scores: readonly ShownScore[];
  /** Counts of the commonest values of each text, such as the language. */
  readonly texts: readonly {
    readonly name: string;
    readonly counts: readonly (readonly [value: string, count: number])[];
  }[];
  readonly agreements: readonly ({ readonly a: string; readonly b: string } & ScoreAgreement)[];
  readonly duplicates: readonly DuplicateSummary[];
  readonly notes: readonly string[];
  readonly licences: readonly LicenceNotice[];
}

export interface GatherScoresOptions {
  /** Scores to show with images; by default those of models, or all numbers if there are none. */
  readonly show?: readonly string[];
  /** Images of a band; 8 by default. */
  readonly images?: number;
  /** Bits by which perceptual hashes of duplicates may differ; 4 by default. */
  readonly distance?: number;
}

/** Fractions at which a page cuts. */
const cuts = [0, 0.2, 0.4, 0.6, 0.8, 1];

/** Facts of captions and images, which need no examples. */
const plainFacts = ['words', 'characters', 'width', 'height', 'aspect'];
const groupsShown = 12;
const imagesOfGroup = 6;
const valuesShown = 12;

/**
 * Collects what a page about scores shows: histograms, random images between cuts, agreement of
 * scores, and duplicates.
 *
 * @throws BantamError for scores of other data or without images, UsageError for a score to show
 * that is not there.
 */
export async function gatherScores(
  source: Source,
  tables: ScoreTables,
  { show, images = 8, distance = 4 }: GatherScoresOptions = {},
): Promise<ScorePageData> {
  const pool = Pool.of(source, tables);
  const numbers = pool.names.filter((name) => pool.column(name).kind === 'numbers');
  const texts = pool.names.filter((name) => pool.column(name).kind === 'texts');
  const ofModels = numbers.filter((name) => !plainFacts.includes(baseName(name)));
  const shown = show ?? (ofModels.length > 0 ? ofModels : numbers);
  const unordered = shown.find((name) => texts.includes(name));
  if (unordered !== undefined) {
    throw new UsageError(`The score "${unordered}" is a text and has no histogram; show a number.`);
  }
  const scores: ShownScore[] = [];
  for (const name of [...shown, ...numbers.filter((other) => !shown.includes(other))]) {
    const values = pool.numbers(name);
    const bands = shown.includes(name) ? await bandsOf(source, values, { pool, images }) : [];
    scores.push({ name, values: values.filter((value) => !Number.isNaN(value)), bands });
  }
  const duplicates: DuplicateSummary[] = [];
  for (const name of texts) {
    const column = pool.column(name);
    if (column.kind !== 'texts') continue;
    const base = baseName(name);
    if (base !== 'phash' && base !== 'duplicateOf') continue;
    const leaders =
      base === 'phash'
        ? groupByHash(column.values, { distance })
        : groupByLeader(pool.keys, column.values);
    duplicates.push(await duplicatesOf(source, leaders, name));
  }
  return {
    spec: source.spec,
    date: new Date(),
    records: pool.size,
    headers: pool.headers,
    scores,
    texts: texts
      .filter((name) => !['phash', 'duplicateOf'].includes(baseName(name)))
      .map((name) => ({ name, counts: countsOf(pool, name) })),
    agreements: shown.flatMap((a, i) =>
      shown.slice(i + 1).map((b) => {
        return { a, b, ...scoreAgreement(pool.numbers(a), pool.numbers(b), { keys: pool.keys }) };
      }),
    ),
    duplicates,
    notes: pool.notes,
    licences: source.licences,
  };
}

/** A score's name without the name of its file. */
function baseName(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

async function bandsOf(
  source: Source,
  values: Float64Array,
  { pool, images }: { pool: Pool; images: number },
): Promise<ScoreBand[]> {
  const order = Array.from(values.keys())
    .filter((i) => !Number.isNaN(at(values, i)))
    .sort((a, b) => at(values, b) - at(values, a));
  const bands: ScoreBand[] = [];
  for (const [i, to] of cuts.slice(1).entries()) {
    const from = at(cuts, i);
    const members = order.slice(Math.round(from * order.length), Math.round(to * order.length));
    const [first, last] = [members[0], members.at(-1)];
    if (first === undefined || last === undefined) continue;
    const random = new Map(
      members.map((index) => [
        index,
        uniformOfKey(at(pool.keys, index), { seed: 0, purpose: 'page' }),
      ]),
    );
    const sample = members
      .toSorted((a, b) => (random.get(a) ?? 0) - (random.get(b) ?? 0))
      .slice(0, images)
      .sort((a, b) => at(values, b) - at(values, a));
    bands.push({
      from,
      to,
      low: at(values, last),
      high: at(values, first),
      records: members.length,
      examples: await thumbnails(source, sample, values),
    });
  }
  return bands;
}

async function duplicatesOf(
  source: Source,
  leaders: Int32Array,
  name: string,
): Promise<DuplicateSummary> {
  const groups = new Map<number, number[]>();
  for (const [index, leader] of leaders.entries()) {
    if (leader !== index) groups.set(leader, [...(groups.get(leader) ?? [leader]), index]);
  }
  const largest = [...groups.values()].sort((a, b) => b.length - a.length).slice(0, groupsShown);
  const examples = [];
  for (const members of largest) {
    const images = await thumbnails(source, members.slice(0, imagesOfGroup));
    examples.push({ size: members.length, images });
  }
  const duplicates = [...groups.values()].reduce((sum, { length }) => sum + length - 1, 0);
  return { name, duplicates, groups: groups.size, examples };
}

/** Images of records; those that cannot be read are left out. */
async function thumbnails(
  source: Source,
  indices: readonly number[],
  values?: Float64Array,
): Promise<ScoredThumbnail[]> {
  const made = indices.map(async (index): Promise<ScoredThumbnail[]> => {
    try {
      const image = await thumbnailOf(source, index);
      const { key } = source.record(index);
      return [{ ...image, key, ...(values && { score: at(values, index) }) }];
    } catch {
      return [];
    }
  });
  return (await Promise.all(made)).flat();
}

function countsOf(pool: Pool, name: string): [string, number][] {
  const counts = new Map<string, number>();
  for (const value of pool.column(name).values) {
    const text = value === undefined ? 'none' : String(value);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const rest = sorted.slice(valuesShown).reduce((sum, [, count]) => sum + count, 0);
  return [
    ...sorted.slice(0, valuesShown),
    ...(rest > 0 ? [['others', rest] as [string, number]] : []),
  ];
}
