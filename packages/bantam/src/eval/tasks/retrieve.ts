import { fromTypedArray, indexSelect, scope } from '@bantam/torch';
import { at } from '../../base/at.js';
import { queryHits, answersAll, type AnsweredQuery } from '../metrics/query-hits.js';
import { retrieval } from '../metrics/retrieval.js';
import { textFeatures, type ClassifierOptions } from './classifier-cache.js';
import { datasetFacts, recordsOf, type DatasetContext } from './dataset-context.js';
import type { EvaluationResult } from './result.js';

/** Retrieval between images and captions, counted by the protocol. */
export function retrieve(context: DatasetContext): EvaluationResult {
  const { embeddings, protocols, dataset } = context;
  const { image, keys } = embeddings;
  const queries = protocols.retrieval === 'karpathy' ? eachCaption(context) : distinct(context);
  const { imageRanks, textRanks, ...scores } = scope(() => {
    const index = fromTypedArray(BigInt64Array.from(queries.rows, BigInt));
    const text = indexSelect(embeddings.text, 0, index);
    return retrieval({ image, text, textsOf: queries.textsOf });
  });
  const first = (rank: number): number => (rank === 0 ? 1 : 0);
  const answered = {
    dataset: dataset.name,
    task: 'retrieval',
    answers: [] as string[],
    truths: [] as string[],
  };
  context.onHits?.({
    ...answered,
    metric: 'image_retrieval_recall@1',
    keys: queries.owners.map((row) => at(keys, row)),
    queries: queries.rows.map((row) => at(embeddings.captions, row)),
    hits: Uint8Array.from(imageRanks, first),
  });
  context.onHits?.({
    ...answered,
    metric: 'text_retrieval_recall@1',
    keys: keys.filter((_, image) => at(queries.textsOf, image).length > 0),
    hits: Uint8Array.from(textRanks, first),
  });
  return {
    ...datasetFacts(context),
    task: 'retrieval',
    protocol: protocols.retrieval,
    samples: keys.length,
    captions: queries.rows.length,
    ...scores,
  };
}

/** Captions as queries. */
interface Queries {
  /** Row of the text features of each. */
  readonly rows: readonly number[];
  /** The queries that belong to each image. */
  readonly textsOf: readonly (readonly number[])[];
  /** The first image that each query belongs to. */
  readonly owners: readonly number[];
}

/** Equal captions are one query. */
function distinct({ embeddings }: DatasetContext): Queries {
  const { captions, captionsOf } = embeddings;
  const owners = captions.map(() => -1);
  captionsOf.forEach((rows, image) => {
    for (const row of rows) if (at(owners, row) < 0) owners[row] = image;
  });
  return { rows: captions.map((_, row) => row), textsOf: captionsOf, owners };
}

/** Every caption of every image is a query of its own. */
function eachCaption(context: DatasetContext): Queries {
  const rowOf = new Map(context.embeddings.captions.map((caption, row) => [caption, row]));
  const rows: number[] = [];
  const owners: number[] = [];
  const textsOf = recordsOf(context).map(({ captions }, image) =>
    captions.flatMap((caption) => {
      const row = rowOf.get(caption);
      if (row === undefined) return [];
      owners.push(image);
      return rows.push(row) - 1;
    }),
  );
  return { rows, textsOf, owners };
}

/** The searches on a data set that holds an answer to each of them. */
export async function searched(
  context: DatasetContext,
  queries: readonly AnsweredQuery[],
  options: ClassifierOptions,
): Promise<EvaluationResult[]> {
  const { embeddings, loaded } = context;
  const captions = recordsOf(context).map(({ captions: [caption = ''] }) => caption);
  if (queries.length === 0 || !answersAll(queries, captions)) return [];
  const text = await textFeatures(
    loaded,
    queries.map(({ query }) => query),
    options,
  );
  const scores = scope(() => queryHits({ queries, text, image: embeddings.image, captions }));
  text.dispose();
  return [
    { ...datasetFacts(context), task: 'queries', samples: embeddings.keys.length, ...scores },
  ];
}
