import type * as v from 'valibot';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { embedItems, type EmbedContext } from '../embed-items.js';
import { BadRequest } from '../http/request-error.js';
import { checkLists, checkText, readBody, searchSchema, type InputItem } from '../http/requests.js';
import type { Found, SearchPart } from '../model/messages.js';
import type { Models } from '../model/models.js';
import { usageOf, type Usage } from './embeddings.js';

/** Answer of `POST /v1/search`. */
export interface SearchAnswer {
  readonly object: 'list';
  readonly data: readonly ({ readonly object: 'hit' } & Found['hits'][number])[];
  readonly index: string;
  readonly model: string;
  readonly usage: Usage;
}

type Query = v.InferOutput<typeof searchSchema>['query'];
type QueryPart = Exclude<Query, string | readonly unknown[]>;

/** `POST /v1/search` */
export async function search(
  context: EmbedContext & { readonly models: Models },
  body: unknown,
  signal: AbortSignal,
): Promise<SearchAnswer> {
  const { limits } = context.settings;
  checkLists(body, limits);
  const request = readBody(searchSchema, body);
  if (request.top_k > limits.hits) {
    throw new BadRequest(`"top_k" is ${request.top_k}; ask for at most ${limits.hits}.`, {
      param: 'top_k',
    });
  }
  const query = partsOf(request.query);
  for (const [index, part] of query.entries()) {
    const { textLength } = limits;
    if ('text' in part) checkText(part.text, { index, param: 'query', textLength });
  }
  const { index, model } = context.models.ofIndex(request.index);
  const done = model.use();
  try {
    const items = query.flatMap((part): InputItem | [] => {
      if ('key' in part) return [];
      return 'text' in part
        ? { kind: 'text', value: part.text }
        : { kind: 'image', value: part.image };
    });
    const options = { signal, onError: 'fail', param: 'query' } as const;
    const { embeddings } = await embedItems(context, model, items, options);
    // Embeddings in the order of the parts that have one.
    const embedded = [...embeddings].sort(([a], [b]) => a - b).map(([, embedding]) => embedding);
    let next = 0;
    const parts = query.map((part): SearchPart => {
      const { weight } = part;
      if ('key' in part) return { key: part.key, weight };
      const { features: vector } = at(embedded, next++);
      return { kind: 'text' in part ? 'text' : 'image', vector, weight };
    });
    const { min_score: minScore, false_positive_rate: falsePositiveRate } = request;
    const { hits } = await model
      .search({
        kind: 'search',
        index,
        parts,
        k: request.top_k,
        where: request.where,
        ...(minScore !== undefined && { minScore }),
        ...(falsePositiveRate !== undefined && { falsePositiveRate }),
      })
      .catch((error: unknown) => {
        throw error instanceof BantamError ? new BadRequest(error.message) : error;
      });
    return {
      object: 'list',
      data: hits.map((hit) => ({ object: 'hit', ...hit })),
      index,
      model: model.name,
      usage: usageOf(embedded),
    };
  } finally {
    done();
  }
}

function partsOf(query: Query): readonly QueryPart[] {
  if (typeof query === 'string') return [{ text: query, weight: 1 }];
  return Array.isArray(query) ? query : [query];
}
