import sharp from 'sharp';
import type { LicenceNotice, Source } from '../data/index.js';
import {
  encodeTexts,
  evaluate,
  ImageIndex,
  type AnsweredQuery,
  type EmbeddedDataset,
  type EncodeOptions,
  type EvalDataset,
  type EvaluateOptions,
} from '../eval/index.js';
import type { LoadedModel } from '../models/index.js';
import type { ConfusionExample, Picture, ReportData, SearchStrip } from './report-data.js';

export interface GatherOptions extends Omit<EvaluateOptions, 'onEmbedded' | 'tasks' | 'queries'> {
  /** Texts to find pictures for. */
  readonly queries: readonly string[];
  /** Searches to judge, see `queries` of {@link EvaluateOptions}. */
  readonly answered?: readonly AnsweredQuery[];
  /** Pictures shown for each text. 8 by default. */
  readonly hits?: number;
  /** Confusions shown for each data set that is shown. 4 by default. */
  readonly confusions?: number;
}

/** What evaluation adds to a report. */
export type GatheredEvaluation = Pick<
  ReportData,
  'results' | 'searches' | 'confusions' | 'licences'
>;

/** Edge in pixels to which pictures are shrunk for the page. */
const pictureSize = 96;
const mistakenShown = 5;
const lookalikesShown = 3;

/**
 * Evaluates a model in all tasks and, on the way, collects pictures to show: what it finds for
 * texts, and what it confuses. Pictures come from the first data set of a seen style, from those of
 * unseen styles, and from all data sets that are of no stated kind.
 */
export async function gatherEvaluation(
  loaded: LoadedModel,
  specs: readonly (string | EvalDataset)[],
  { queries, answered = [], hits = 8, confusions = 4, ...options }: GatherOptions,
): Promise<GatheredEvaluation> {
  const vectors = await queryVectors(loaded, queries, options);
  const strips: SearchStrip[][] = queries.map(() => []);
  const shown: { source: Source; dataset: EvalDataset; rowOf: Map<string, number> }[] = [];
  const onEmbedded = async ({ dataset, source, embeddings }: EmbeddedDataset): Promise<void> => {
    if (!isShown(dataset, shown)) return;
    const { keys, records, image } = embeddings;
    const rowOf = new Map(keys.map((key, row) => [key, records[row] ?? 0]));
    shown.push({ source, dataset, rowOf });
    const features = image.toTypedArray() as Float32Array;
    const index = new ImageIndex({ keys, features, width: image.dim(1) });
    for (const [at, vector] of vectors.entries()) {
      const found = index.nearest(vector, hits).map(async ({ row, score }) => {
        return { ...(await pictureOf(source, records[row] ?? 0)), score };
      });
      strips[at]?.push({
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
      const mistaken = confusion.examples.map((key) => rowOf.get(key) ?? 0);
      examples.push({
        dataset: dataset.name,
        truth: confusion.truth,
        predicted: confusion.predicted,
        count: confusion.count,
        of: confusion.of,
        mistaken: await picturesOf(source, mistaken.slice(0, mistakenShown)),
        lookalikes: await picturesOf(source, members(source, labels ?? '', confusion.predicted)),
      });
    }
  }
  return {
    results,
    searches: queries.map((query, at) => ({ query, strips: strips[at] ?? [] })),
    confusions: examples,
    licences: uniqueLicences(shown.flatMap(({ source }) => source.licences)),
  };
}

function isShown(
  { kind }: EvalDataset,
  shown: readonly { readonly dataset: EvalDataset }[],
): boolean {
  if (kind === 'unseen concepts') return false;
  return kind !== 'seen style' || shown.every(({ dataset }) => dataset.kind !== kind);
}

async function queryVectors(
  loaded: LoadedModel,
  queries: readonly string[],
  { precision = 'float32' }: EncodeOptions,
): Promise<Float32Array[]> {
  const features = await encodeTexts(loaded, queries, { precision });
  const values = features.toTypedArray() as Float32Array;
  const width = features.dim(1);
  features.dispose();
  return queries.map((_, at) => values.subarray(at * width, (at + 1) * width));
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

function picturesOf(source: Source, records: readonly number[]): Promise<Picture[]> {
  return Promise.all(records.map((record) => pictureOf(source, record)));
}

async function pictureOf(source: Source, record: number): Promise<Picture> {
  const image = sharp(await source.image(record), { pages: 1 })
    .autoOrient()
    .resize(pictureSize, pictureSize, { fit: 'inside', withoutEnlargement: true })
    .png({ palette: true, colours: 64, compressionLevel: 9 });
  const png = await image.toBuffer();
  return {
    alt: source.record(record).captions[0] ?? '',
    uri: `data:image/png;base64,${png.toString('base64')}`,
  };
}

function uniqueLicences(notices: readonly LicenceNotice[]): LicenceNotice[] {
  return [...new Map(notices.map((notice) => [notice.part, notice])).values()];
}
