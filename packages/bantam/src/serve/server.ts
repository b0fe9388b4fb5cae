import { once } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import { Server as NetServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { BantamError } from '../base/errors.js';
import { read } from '../base/schema.js';
import { causeOf } from '../base/system-error.js';
import { createAccess } from './http/access.js';
import { createApp, type Route } from './http/app.js';
import { createHttpServer } from './http/http-server.js';
import { Metrics } from './http/metrics.js';
import { openApi } from './http/openapi.js';
import { Pending } from './http/pending.js';
import { DecodePool } from './images/decode-pool.js';
import { Models } from './model/models.js';
import { classify } from './routes/classify.js';
import { embeddings } from './routes/embeddings.js';
import { Health } from './routes/health.js';
import { search } from './routes/search.js';
import { serveSchema, type ResolvedServeSettings, type ServeSettings } from './settings.js';

/** Something that happens to a running server. */
export type ServeEvent =
  | { readonly kind: 'restart'; readonly model: string; readonly reason: string }
  | { readonly kind: 'reloaded'; readonly models: readonly string[] }
  | { readonly kind: 'reload-failed'; readonly reason: string }
  | { readonly kind: 'stopping'; readonly requests: number }
  /** An error that should not have come to pass; its request is answered with 500. */
  | { readonly kind: 'fault'; readonly error: Error };

/** Options of {@link serve}. */
export interface ServeOptions extends ServeSettings {
  /** Model directories by the names under which they are served. */
  readonly models: Readonly<Record<string, string>>;
  /** Indexes that these models made, by the names under which they are searched. */
  readonly indexes?: Readonly<Record<string, string>>;
  readonly onEvent?: (event: ServeEvent) => void;
}

/** A running server. */
export interface Server {
  /** Address with port, such as `http://127.0.0.1:8000`. */
  readonly url: string;
  /**
   * Loads the models anew from their directories. Requests that have begun end with the model with which
   * they began; if a model cannot be loaded, the old ones stay.
   *
   * @throws BantamError with the reason why a model cannot be loaded.
   */
  reload(): Promise<void>;
  /** Accepts no more connections, answers the requests that have come, and ends. */
  stop(): Promise<void>;
}

/** Time for which connections that are idle stay open when the server stops: a request may be on its way. */
const lingerSeconds = 0.5;

/**
 * Serves models over HTTP: embeddings as OpenAI's clients ask for them, classification, health, metrics.
 * Each model computes in a process of its own, images are decoded in threads, and everything that
 * clients decide is bounded by `limits`.
 *
 *     const server = await serve({ models: { shop: 'runs/shop/model' }, port: 8000 });
 *     await server.stop();
 *
 * @throws BantamError for a setting that is wrong, a model that cannot be loaded, a port that is taken.
 */
export async function serve(options: ServeOptions): Promise<Server> {
  const { models: directories, indexes = {}, onEvent, ...given } = options;
  const settings = read(serveSchema, given, { where: 'serve()' });
  const { batch, limits } = settings;
  if (limits.items > limits.queue) {
    throw new BantamError(
      `A request may have ${limits.items} items and the queue only ${limits.queue}; make limits.queue at least limits.items.`,
    );
  }
  const checkAccess = createAccess(settings);
  const pending = new Pending(limits);
  const running: { models?: Models } = {};
  const metrics = new Metrics(
    () => running.models ?? [],
    () => pending.bytes,
  );
  const models = await Models.start({
    directories,
    indexes,
    options: (name) => ({
      precision: settings.precision,
      device: settings.device,
      threads: settings.threads,
      jobSeconds: limits.batchSeconds,
      size: batch.size,
      waitMs: batch.waitMs,
      queue: limits.queue,
      onBatch: (one) => {
        metrics.batch(name, one);
      },
      onRestart: (reason) => {
        metrics.restart(name);
        onEvent?.({ kind: 'restart', model: name, reason });
      },
    }),
  });
  running.models = models;
  const decoder = new DecodePool({
    threads: settings.decoders,
    mostPixels: limits.pixels,
    seconds: limits.decodeSeconds,
  });
  let stopping: Promise<void> | undefined;
  const context = { models, decoder, metrics, settings };
  const app = createApp({
    settings,
    metrics,
    pending,
    checkAccess,
    isStopping: () => stopping !== undefined,
    onFault: (error) => onEvent?.({ kind: 'fault', error }),
    routes: routesOf(context),
  });
  const http = createHttpServer(app, limits);
  let url: string;
  try {
    url = await listen(http, settings);
  } catch (error) {
    await Promise.all([models.stop(), decoder.close()]);
    throw listenError(error, settings);
  }

  const stop = async (): Promise<void> => {
    onEvent?.({ kind: 'stopping', requests: pending.requests });
    // Of http's own `close`, the half that ends idle connections comes later.
    NetServer.prototype.close.call(http);
    await sleep(lingerSeconds * 1000);
    await pending.none(limits.stopSeconds);
    http.close();
    http.closeAllConnections();
    await Promise.all([models.stop(), decoder.close()]);
  };
  return {
    url,
    async reload() {
      try {
        await models.reload();
        metrics.reload('done');
        onEvent?.({ kind: 'reloaded', models: [...models].map(({ name }) => name) });
      } catch (error) {
        metrics.reload('failed');
        onEvent?.({
          kind: 'reload-failed',
          reason: causeOf(error),
        });
        throw error;
      }
    },
    stop() {
      stopping ??= stop();
      return stopping;
    },
  };
}

type RouteContext = Parameters<typeof embeddings>[0];

function routesOf(context: RouteContext): Route[] {
  const { models, metrics } = context;
  const health = new Health(models, context.settings.limits.healthSeconds);
  const get = (path: string, run: Route['run']): Route => ({ method: 'GET', path, run });
  const post = (path: string, run: Route['run']): Route => ({ method: 'POST', path, run });
  return [
    post('/v1/embeddings', async (body, signal) => ({
      json: await embeddings(context, body, signal),
    })),
    post('/v1/classify', async (body, signal) => ({ json: await classify(context, body, signal) })),
    post('/v1/search', async (body, signal) => ({ json: await search(context, body, signal) })),
    get('/v1/models', () => Promise.resolve({ json: modelList(models) })),
    get('/healthz', async () => {
      const json = await health.check();
      return { json, status: json.status === 'ok' ? 200 : 503 };
    }),
    get('/metrics', async () => ({
      text: { type: metrics.contentType, body: await metrics.text() },
    })),
    get('/openapi.json', () => Promise.resolve({ json: openApi() })),
  ];
}

/** Answer of `GET /v1/models`: OpenAI's members, and what is known of each model. */
function modelList(models: Models) {
  return {
    object: 'list',
    data: [...models].map(({ name, created, description }) => ({
      id: name,
      object: 'model',
      created,
      owned_by: 'bantam',
      dimensions: description.dimensions,
      context_length: description.contextLength,
      image_size: description.preprocess.size,
      indexes: Object.entries(description.indexes).map(([id, { size, isApproximate }]) => ({
        id,
        size,
        approximate: isApproximate,
      })),
    })),
  };
}

/** Starts to listen; gives the address as a URL. */
async function listen(
  http: HttpServer,
  { host, port }: Pick<ResolvedServeSettings, 'host' | 'port'>,
): Promise<string> {
  http.listen({ host, port });
  await once(http, 'listening');
  const address = http.address();
  if (address === null || typeof address === 'string') throw new Error('There is no port.');
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${name}:${address.port}`;
}

function listenError(error: unknown, { host, port }: { host: string; port: number }): unknown {
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EADDRINUSE':
      return new BantamError(`Port ${port} of ${host} is taken; choose another with --port.`);
    case 'EACCES':
      return new BantamError(`Port ${port} needs rights of its own; choose one above 1023.`);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new BantamError(`This machine has no address "${host}"; choose another with --host.`);
    default:
      return error;
  }
}
