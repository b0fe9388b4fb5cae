import type { HttpBindings } from '@hono/node-server';
import { Hono, type Context } from 'hono';
import { cors } from 'hono/cors';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { ResolvedServeSettings } from '../settings.js';
import type { AccessHeaders } from './access.js';
import { readJsonBody } from './json-body.js';
import type { Metrics } from './metrics.js';
import { requestSignal, type Pending } from './pending.js';
import { RequestError } from './request-error.js';

/** A route: from the body of a request to its answer. */
export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** The body is undefined for GET. */
  readonly run: (body: unknown, signal: AbortSignal) => Promise<RouteAnswer>;
}

/** Answer of a route: JSON, or a text of another type; with status 200, unless it says otherwise. */
export interface RouteAnswer {
  readonly json?: unknown;
  readonly text?: { readonly type: string; readonly body: string };
  readonly status?: ContentfulStatusCode;
}

export interface AppOptions {
  readonly settings: ResolvedServeSettings;
  readonly routes: readonly Route[];
  readonly metrics: Metrics;
  readonly pending: Pending;
  /** Throws a RequestError for a request that is refused. */
  readonly checkAccess: (path: string, headers: AccessHeaders) => void;
  /** True once the server is stopping. */
  readonly isStopping: () => boolean;
  /** Reports an error that is no RequestError. */
  readonly onFault: (error: Error) => void;
}

/** Requests to their answers, by Hono. */
export type App = Hono<{ Bindings: HttpBindings }>;

type AppContext = Context<{ Bindings: HttpBindings }>;

/**
 * The routes and what is common to them: access, bounds, errors, metrics. Hono and not Fastify, as it
 * brings no packages of its own (Fastify's need Node 22 by now); bodies are bounded here and slow
 * clients by Node's server.
 */
export function createApp(options: AppOptions): App {
  const { settings, routes, pending, checkAccess, isStopping, onFault } = options;
  const { limits } = settings;
  const app: App = new Hono();
  if (settings.cors.length > 0) {
    const allowHeaders = ['authorization', 'content-type'];
    app.use(cors({ origin: [...settings.cors], allowMethods: ['GET', 'POST'], allowHeaders }));
  }
  app.use(async (c, next) => {
    observe(c, options);
    pending.add(c.env);
    checkAccess(c.req.path, c.env.incoming.headers);
    await next();
    if (isStopping()) c.header('connection', 'close');
  });
  for (const { method, path, run } of routes) {
    app.on(method, path, async (c) => {
      const signal = requestSignal(c.env.outgoing, limits.requestSeconds);
      const body =
        method === 'POST' ? await readJsonBody(c.env.incoming, limits.bodyBytes) : undefined;
      const { json, text, status = 200 } = await inTime(run(body, signal), signal);
      if (text !== undefined) return c.body(text.body, status, { 'content-type': text.type });
      return jsonAnswer(c, json, status);
    });
  }
  app.notFound((c) => {
    const known = routes.filter(({ path }) => path === c.req.path).map(({ method }) => method);
    if (known.length === 0) {
      return errorAnswer(c, new RequestError(404, 'There is no such path; see /openapi.json.'));
    }
    const allowed = known.join(', ');
    c.header('allow', allowed);
    return errorAnswer(c, new RequestError(405, `This path takes ${allowed}.`));
  });
  app.onError((error, c) => {
    // A client that hangs up within its body is no fault.
    const hasGone = c.env.incoming.readableAborted;
    if (!(error instanceof RequestError) && !hasGone) onFault(error);
    return errorAnswer(c, error);
  });
  return app;
}

/** The answer, unless the signal aborts before. */
function inTime(answer: Promise<RouteAnswer>, signal: AbortSignal): Promise<RouteAnswer> {
  const tooLate = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
    });
  });
  return Promise.race([answer, tooLate]);
}

function jsonAnswer(c: AppContext, json: unknown, status: ContentfulStatusCode): Response {
  return c.body(JSON.stringify(json), status, {
    'content-type': 'application/json; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  });
}

function errorAnswer(c: AppContext, error: Error): Response {
  const known =
    error instanceof RequestError
      ? error
      : new RequestError(500, `Unexpected: ${error.message}`, { code: 'unexpected' });
  const { retryAfter } = known.details;
  if (retryAfter !== undefined) c.header('retry-after', String(retryAfter));
  if (known.status === 401) c.header('www-authenticate', 'Bearer');
  // The rest of the body is not read.
  if (known.status === 413) c.header('connection', 'close');
  return jsonAnswer(c, known.body, known.status as ContentfulStatusCode);
}

/** Counts a request, and logs it if that is asked for, once its answer has gone. */
function observe(c: AppContext, { metrics, routes, settings }: AppOptions): void {
  const start = performance.now();
  const { incoming, outgoing } = c.env;
  const { path, method } = c.req;
  const route = routes.some((one) => one.path === path) ? path : 'other';
  outgoing.once('close', () => {
    const ms = performance.now() - start;
    // nginx' number for a client that went before its answer came.
    const status = outgoing.writableFinished ? outgoing.statusCode : 499;
    metrics.request({ route, status }, ms / 1000);
    if (!settings.log) return;
    const line = {
      time: new Date().toISOString(),
      method,
      path,
      status,
      ms: Math.round(ms * 10) / 10,
      from: incoming.socket.remoteAddress,
    };
    process.stderr.write(`${JSON.stringify(line)}\n`);
  });
}
