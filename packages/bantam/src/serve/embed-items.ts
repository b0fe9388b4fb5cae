import { setMaxListeners } from 'node:events';
import { causeOf } from '../base/system-error.js';
import { BadRequest, RequestError } from './http/request-error.js';
import type { InputItem } from './http/requests.js';
import type { Metrics } from './http/metrics.js';
import { readDataUri } from './images/data-uri.js';
import type { DecodePool } from './images/decode-pool.js';
import { fetchImage } from './images/fetch-image.js';
import type { Embedding, ServedModel } from './model/served-model.js';
import type { ResolvedServeSettings } from './settings.js';

/** Parts of the server that embedding needs. */
export interface EmbedContext {
  readonly decoder: DecodePool;
  readonly metrics: Metrics;
  readonly settings: ResolvedServeSettings;
}

export interface EmbedItemsOptions {
  readonly signal: AbortSignal;
  /** `skip` leaves out images that cannot be decoded; `fail` fails the request for one of them. */
  readonly onError: 'fail' | 'skip';
  /** Member of the request that holds the items, for messages. `input` by default. */
  readonly param?: string;
}

/** An item that was left out, by its position in the request. */
export interface ItemError {
  readonly index: number;
  readonly message: string;
}

export interface EmbeddedItems {
  /** Embeddings by the position of their items in the request. */
  readonly embeddings: ReadonlyMap<number, Embedding>;
  readonly errors: readonly ItemError[];
}

/**
 * The embeddings of a request's items. Images are decoded while other items are computed.
 *
 * @throws RequestError for an item that is refused, named by its position; 429 if there is no room.
 */
export async function embedItems(
  { decoder, metrics, settings }: EmbedContext,
  model: ServedModel,
  items: readonly InputItem[],
  { signal, onError, param = 'input' }: EmbedItemsOptions,
): Promise<EmbeddedItems> {
  const release = model.slots.take(items.length);
  const embeddings = new Map<number, Embedding>();
  const failures = new Map<number, RequestError>();
  // The first item that fails a request takes the others out of the queue.
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  // Every item that waits listens to it, which is no leak: Node would warn of more than ten.
  setMaxListeners(0, either);
  const embedOne = async ({ kind, value }: InputItem): Promise<Embedding> => {
    if (kind === 'text') return model.embed('text', value, { signal: either });
    const bytes = await imageBytes(value, settings, either);
    const pixels = await decoder.decode(bytes, model.description.preprocess, either);
    return model.embed('image', pixels, { signal: either });
  };
  const tasks = items.map(async (item, index) => {
    try {
      embeddings.set(index, await embedOne(item));
      metrics.item(model.name, item.kind, 'embedded');
    } catch (error) {
      if (either.aborted) return;
      const known = error instanceof RequestError ? error : unexpected(error);
      metrics.item(model.name, item.kind, known.status < 500 ? 'refused' : 'failed');
      failures.set(index, known);
      if (onError === 'fail' || !(known instanceof BadRequest)) failed.abort();
    }
  });
  try {
    await Promise.all(tasks);
  } finally {
    release(embeddings.size);
  }
  if (signal.aborted) throw signal.reason;
  const ordered = [...failures].sort(([a], [b]) => a - b);
  const fatal = ordered.find(([, error]) => onError === 'fail' || !(error instanceof BadRequest));
  if (fatal !== undefined) throw named(param, ...fatal);
  return {
    embeddings,
    errors: ordered.map(([index, { message }]) => ({ index, message })),
  };
}

function imageBytes(
  value: string,
  { limits, fetchHosts: hosts }: ResolvedServeSettings,
  signal: AbortSignal,
): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>> {
  if (/^data:/i.test(value)) return readDataUri(value, limits);
  if (/^[a-z][a-z\d+.-]*:/i.test(value.slice(0, 40))) {
    const { imageBytes: bytes, fetchSeconds: seconds } = limits;
    return fetchImage(value, { hosts, imageBytes: bytes, seconds, signal });
  }
  throw new BadRequest('The image is no data URI with base64: data:image/png;base64,…', {
    code: 'invalid_image',
  });
}

/** The error with the item's position in front. */
function named(
  param: string,
  index: number,
  { status, message, details }: RequestError,
): RequestError {
  return new RequestError(status, `Item ${index} of "${param}": ${message}`, {
    param,
    ...details,
  });
}

function unexpected(error: unknown): RequestError {
  const message = causeOf(error);
  return new RequestError(500, message, { code: 'model_failed' });
}
