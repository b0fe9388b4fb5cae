/** `@bantam/web/serve`: serves an exported page, with the headers that give it threads. */
import { createServer } from 'node:http';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import sirv from 'sirv';
import { pageHeaders } from './headers.js';

/** Options of {@link servePage}. */
export interface ServePageOptions {
  /** Port; 0, the default, takes a free one. */
  readonly port?: number;
  /** Address to listen on. Default `127.0.0.1`: this computer only. */
  readonly host?: string;
}

/** A server that runs. */
export interface PageServer {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves a folder that `bantam export --to web` wrote, cross-origin isolated, so that WebAssembly
 * may use threads.
 *
 * @throws Error if the folder holds no page, or the port is taken.
 */
export async function servePage(
  folder: string,
  { port = 0, host = '127.0.0.1' }: ServePageOptions = {},
): Promise<PageServer> {
  if (statSync(join(folder, 'index.html'), { throwIfNoEntry: false }) === undefined) {
    throw new Error(
      `${folder} holds no page; make one with "bantam export MODEL --to web --out ${folder}".`,
    );
  }
  const files = sirv(folder, {
    etag: true,
    dev: true,
    setHeaders: (response) => {
      for (const [name, value] of Object.entries(pageHeaders)) response.setHeader(name, value);
    },
  });
  const server = createServer((request, response) => {
    files(request, response, () => {
      response.writeHead(404, { ...pageHeaders, 'Content-Type': 'text/plain' });
      response.end('There is no such file.\n');
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
  const address = server.address();
  const taken = typeof address === 'object' && address !== null ? address.port : port;
  const name = host.includes(':') ? `[${host}]` : host;
  return {
    url: `http://${name}:${taken}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}
