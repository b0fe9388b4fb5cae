import { at } from '../../base/at.js';
import { embedItems, type EmbedContext, type ItemError } from '../embed-items.js';
import { BadRequest } from '../http/request-error.js';
import { checkLists, embeddingsSchema, inputItems, readBody } from '../http/requests.js';
import type { Models } from '../model/models.js';
import type { Embedding } from '../model/served-model.js';

/** Tokens of a request's texts. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly total_tokens: number;
}

/** Answer of `POST /v1/embeddings`. */
export interface EmbeddingsAnswer {
  readonly object: 'list';
  readonly data: readonly {
    readonly object: 'embedding';
    readonly index: number;
    readonly embedding: readonly number[] | string;
  }[];
  readonly model: string;
  readonly usage: Usage;
  /** Positions of texts whose end did not fit the context; only if there are any. */
  readonly truncated?: readonly number[];
  /** Items that were left out; only with `on_error: "skip"`. */
  readonly errors?: readonly ItemError[];
}

/** `POST /v1/embeddings` */
export async function embeddings(
  context: EmbedContext & { readonly models: Models },
  body: unknown,
  signal: AbortSignal,
): Promise<EmbeddingsAnswer> {
  checkLists(body, context.settings.limits);
  const request = readBody(embeddingsSchema, body);
  const items = inputItems(request, context.settings.limits);
  const model = context.models.get(request.model);
  const { dimensions } = model.description;
  if (request.dimensions !== undefined && request.dimensions !== dimensions) {
    throw new BadRequest(
      `The model "${model.name}" gives embeddings of ${dimensions} dimensions, not of ${request.dimensions}; leave "dimensions" out.`,
      { param: 'dimensions' },
    );
  }
  const done = model.use();
  try {
    const onError = request.on_error;
    const found = await embedItems(context, model, items, { signal, onError });
    const rows = [...found.embeddings].sort(([a], [b]) => a - b);
    const truncated = rows.flatMap(([index, { truncated }]) => (truncated ? index : []));
    return {
      object: 'list',
      data: rows.map(([index, { features }]) => ({
        object: 'embedding',
        index,
        embedding: encoded(features, request.encoding_format),
      })),
      model: model.name,
      usage: usageOf(found.embeddings.values()),
      ...(truncated.length > 0 && { truncated }),
      ...(onError === 'skip' && { errors: found.errors }),
    };
  } finally {
    done();
  }
}

/** Tokens of embedded texts, added to those of a request's other texts. */
export function usageOf(embedded: Iterable<Embedding>, others = 0): Usage {
  let total = others;
  for (const { tokens } of embedded) total += tokens;
  return { prompt_tokens: total, total_tokens: total };
}

function encoded(features: Float32Array, format: 'float' | 'base64'): number[] | string {
  if (format === 'float') return Array.from(features);
  const bytes = new DataView(new ArrayBuffer(features.length * 4));
  for (let i = 0; i < features.length; i++) bytes.setFloat32(i * 4, at(features, i), true);
  return Buffer.from(bytes.buffer).toString('base64');
}
