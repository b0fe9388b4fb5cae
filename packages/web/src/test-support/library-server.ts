import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pageHeaders } from '../headers.js';
import type { PageServer } from '../serve.js';

const runtime = dirname(createRequire(import.meta.url).resolve('onnxruntime-web/wasm'));
const library = fileURLToPath(new URL('../../build/library', import.meta.url));

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

export interface LibraryServerOptions {
  /** Folders by the first part of the path under which they are served. */
  readonly folders?: Readonly<Record<string, string>>;
  /** Files that are made when they are asked for: the path below `/made/`. */
  readonly make?: (path: string) => Promise<Uint8Array>;
  /** HTML of `/`. */
  readonly html?: string;
  /** Headers of every file; by default those that isolate a page. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Serves a page that uses the library without a bundler: `/library`, `/ort` and the given folders. */
export async function serveLibrary({
  html = '',
  make,
  folders = {},
  headers = pageHeaders,
}: LibraryServerOptions): Promise<PageServer> {
  const roots: Readonly<Record<string, string>> = { library, ort: runtime, ...folders };
  const answer = async (path: string): Promise<Uint8Array> => {
    if (path === '/') return Buffer.from(html);
    const [, first = '', ...rest] = normalize(decodeURIComponent(path)).split('/');
    if (first === 'made' && make !== undefined) return make(rest.join('/'));
    const root = roots[first];
    if (root === undefined) throw new Error(`nothing is served under ${path}`);
    return readFile(join(root, ...rest));
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    answer(pathname).then(
      (body) => {
        const type = pathname === '/' ? 'text/html' : types[extname(pathname)];
        response.writeHead(200, { ...headers, 'Content-Type': type ?? 'text/plain' }).end(body);
      },
      (error: unknown) => response.writeHead(404, headers).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}
