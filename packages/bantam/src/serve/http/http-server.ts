import { createServer, type Server as HttpServer } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import type { Limits } from '../settings.js';
import type { App } from './app.js';
import { RequestError } from './request-error.js';

/** Node's server for an app, with bounds on slow clients and on connections. */
export function createHttpServer(app: App, limits: Limits): HttpServer {
  const listener = getRequestListener(app.fetch, {
    // Request and Response stay what they are in the process that serves.
    overrideGlobalObjects: false,
    errorHandler: () => new Response(errorText(400), { status: 400, headers: jsonType }),
  });
  const server = createServer(
    {
      headersTimeout: limits.headerSeconds * 1000,
      requestTimeout: limits.bodySeconds * 1000,
      keepAliveTimeout: limits.idleSeconds * 1000,
      connectionsCheckingInterval: Math.min(1000, (limits.headerSeconds * 1000) / 2),
    },
    (incoming, outgoing) => void listener(incoming, outgoing),
  );
  server.maxConnections = limits.connections;
  // A client that does not read its answer.
  server.setTimeout((limits.requestSeconds + limits.bodySeconds) * 1000);
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
    else socket.end(rawAnswer(statusOf(error.code)));
  });
  return server;
}

const jsonType = { 'content-type': 'application/json; charset=utf-8' };

/** Answers without a request: to bytes that are not HTTP, or came too slowly. */
const faults = {
  400: { reason: 'Bad Request', message: 'This is no valid HTTP request.' },
  408: { reason: 'Request Timeout', message: 'The request came too slowly.' },
  431: { reason: 'Request Header Fields Too Large', message: 'The headers are too large.' },
} as const;

function statusOf(code: string | undefined): keyof typeof faults {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 408;
  return code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
}

function errorText(status: keyof typeof faults): string {
  return JSON.stringify(new RequestError(status, faults[status].message).body);
}

function rawAnswer(status: keyof typeof faults): string {
  const text = errorText(status);
  return [
    `HTTP/1.1 ${status} ${faults[status].reason}`,
    `Content-Type: ${jsonType['content-type']}`,
    `Content-Length: ${Buffer.byteLength(text)}`,
    'Connection: close',
    '',
    text,
  ].join('\r\n');
}
