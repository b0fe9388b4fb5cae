import { at } from '../base/at.js';
import type { LicenceNotice, Source } from '../data/index.js';
import {
  encodeTexts,
  evaluate,
  type AnsweredQuery,
  type EmbeddedDataset,
  type EvalDataset,
  type EvaluateOptions,
} from '../eval/index.js';
import type { LoadedModel } from '../models/index.js';
import { ExactSearch } from '../search/index.js';
import type { ConfusionExample, ReportData, SearchStrip, Thumbnail } from './report-data.js';
import { thumbnailOf } from './thumbnail.js';

export interface GatherOptions extends Omit<EvaluateOptions, 'onEmbedded' | 'tasks' | 'queries'> {
  /** Queries whose hits the report shows. */
  readonly queries: readonly string[];
  /** Searches with known answers, see `queries` of {@link EvaluateOptions}. */
  readonly answered?: readonly AnsweredQuery[];
  /** Images shown per query. Default 8. */
  readonly hits?: number;
  /** Confusions shown per data set. Default 4. */
  readonly confusions?: number;
}

/** Parts of a report that come from evaluation. */
export type GatheredEvaluation = Pick<
  ReportData,
  'results' | 'searches' | 'confusions' | 'licences'
>;

const mistakenShown = 5;
const lookalikesShown = 3;

/**
 * Evaluates a model in all tasks and collects images for the report: the hits of queries, and
 * confusions. They come from the first in-distribution data set, all out-of-distribution ones except
 * held-out classes, and all data sets of unknown kind.
 */
export async function gatherEvaluation(
  loaded: LoadedModel,
  specs: readonly (string | EvalDataset)[],
  { queries, answered = [], hits = 8, confusions = 4, ...options }: GatherOptions,
): Promise<GatheredEvaluation> {
  const { precision = 'float32' } = options;
  using vectors = await encodeTexts(loaded, queries, { precision });
  const searches = queries.map((query) => ({ query, strips: [] as SearchStrip[] }));
  const shown: { source: Source; dataset: EvalDataset; rowOf: Map<string, number> }[] = [];
  const onEmbedded = async ({ dataset, source, embeddings }: EmbeddedDataset): Promise<void> => {
    if (!isShown(dataset, shown)) return;
    const { keys, records, image } = embeddings;
    const rowOf = new Map(keys.map((key, row) => [key, at(records, row)]));
    shown.push({ source, dataset, rowOf });
    using exact = new ExactSearch(image);
    for (const [query, rows] of (await exact.nearest(vectors, { k: hits })).entries()) {
      const found = rows.map(async ({ row, score }) => {
        return { ...(await thumbnailOf(source, at(records, row))), score };
      });
      at(searches, query).strips.push({
        dataset: dataset.name,
        ...(dataset.kind !== undefined && { kind: dataset.kind }),
        hits: await Promise.all(found),
      });
    }
  };
  const results = await evaluate(loaded, specs, { ...options, queries: answered, onEmbedded });
  const examples: ConfusionExample[] = [];
  for (const { source, dataset, rowOf } of shown) {
    const [labels] = Object.keys(source.labelSets);
    const result = results.find((one) => one.spec === dataset.spec && one.labels === labels);
    for (const confusion of result?.confusions?.slice(0, confusions) ?? []) {
      const mistaken = confusion.examples.flatMap((key) => rowOf.get(key) ?? []);
      examples.push({
        dataset: dataset.name,
        truth: confusion.truth,
        predicted: confusion.predicted,
        count: confusion.count,
        of: confusion.of,
        mistaken: await thumbnailsOf(source, mistaken.slice(0, mistakenShown)),
        lookalikes: await thumbnailsOf(source, members(source, labels ?? '', confusion.predicted)),
      });
    }
  }
  return {
    results,
    searches,
    confusions: examples,
    licences: uniqueLicences(shown.flatMap(({ source }) => source.licences)),
  };
}

function isShown(
  { kind }: EvalDataset,
  shown: readonly { readonly dataset: EvalDataset }[],
): boolean {
  if (kind === 'held-out classes') return false;
  return kind !== 'in-distribution' || shown.every(({ dataset }) => dataset.kind !== kind);
}

/** The first few records of a class. */
function members({ labelSets }: Source, labels: string, name: string): number[] {
  const set = labelSets[labels];
  const id = set?.classes.indexOf(name) ?? -1;
  const found: number[] = [];
  set?.labels.forEach((label, record) => {
    if (label === id && found.length < lookalikesShown) found.push(record);
  });
  return found;
}

function thumbnailsOf(source: Source, records: readonly number[]): Promise<Thumbnail[]> {
  return Promise.all(records.map((record) => thumbnailOf(source, record)));
}

function uniqueLicences(notices: readonly LicenceNotice[]): LicenceNotice[] {
  return [...new Map(notices.map((notice) => [notice.part, notice])).values()];
}
