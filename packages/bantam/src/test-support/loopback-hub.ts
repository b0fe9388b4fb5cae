import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A repository of the loopback hub. */
export interface HubRepository {
  readonly files: Readonly<Record<string, Buffer>>;
  /** Files that are in large-file storage, on another host. Default: those of 1,000 bytes and more. */
  readonly large?: (file: string) => boolean;
  /** Default: a hash of the files. */
  readonly commit?: string;
}

/** A request that arrived. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly host: 'hub' | 'storage';
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/**
 * Misbehaviour for one request; true if it has answered. `send` answers as a server that
 * behaves would, with a body of the bytes given.
 */
export type Misbehaviour = (
  request: SeenRequest,
  response: ServerResponse,
  body: Buffer | null,
) => boolean;

/** A hub on loopback: the pages that clients use, and a second server as its storage of large files. */
export class LoopbackHub {
  readonly requests: SeenRequest[] = [];
  /** Called for each request. */
  misbehave: Misbehaviour = () => false;
  readonly #repositories = new Map<string, HubRepository>();
  readonly #hub: Server;
  readonly #storage: Server;
  /** The token that private repositories want. */
  token: string | null = null;

  private constructor() {
    const serve = (host: SeenRequest['host']) =>
      createServer((request, response) => {
        this.#answer(host, request, response);
      });
    this.#hub = serve('hub');
    this.#storage = serve('storage');
  }

  static async start(): Promise<LoopbackHub> {
    const hub = new LoopbackHub();
    for (const server of [hub.#hub, hub.#storage]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
    return hub;
  }

  get endpoint(): string {
    return addressOf(this.#hub);
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** Adds or replaces a repository, and returns its commit. */
  put(name: string, repository: HubRepository): string {
    this.#repositories.set(name, repository);
    return commitOf(repository);
  }

  /** Requests for the bodies of files. */
  get downloads(): SeenRequest[] {
    return this.requests.filter(
      ({ method, path, host }) =>
        method === 'GET' && (host === 'storage' || path.includes('/resolve/')),
    );
  }

  #answer(host: SeenRequest['host'], request: IncomingMessage, response: ServerResponse): void {
    const { range, authorization } = request.headers;
    const path = decodeURIComponent(request.url ?? '/');
    const seen: SeenRequest = { method: request.method ?? '', path, host, range, authorization };
    this.requests.push(seen);
    const blob = host === 'storage' ? this.#blob(path.slice(1)) : null;
    if (this.misbehave(seen, response, blob ?? this.#small(path))) return;
    if (host === 'storage') sendBytes(seen, response, blob);
    else this.#page(seen, response);
  }

  #page(seen: SeenRequest, response: ServerResponse): void {
    const { path } = seen;
    const [, api] = /^\/api\/models\/(.+)$/.exec(path) ?? [];
    const [, named = '', revision = ''] =
      api === undefined
        ? (/^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\//.exec(path) ?? [])
        : (/^([^/]+\/[^/]+)\/revision\/(.+)$/.exec(api) ?? []);
    const repository = this.#repositories.get(named);
    if (this.token !== null && seen.authorization !== `Bearer ${this.token}`) {
      refuse(response, 401, 'RepoNotFound');
      return;
    }
    if (repository === undefined) {
      refuse(response, 404, 'RepoNotFound');
      return;
    }
    const commit = commitOf(repository);
    if (revision !== 'main' && revision !== commit) {
      refuse(response, 404, 'RevisionNotFound');
      return;
    }
    if (api !== undefined) {
      const siblings = Object.keys(repository.files).map((rfilename) => ({ rfilename }));
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ id: named, sha: commit, siblings }));
      return;
    }
    const file = path.split('/').slice(5).join('/');
    const bytes = repository.files[file];
    if (bytes === undefined) {
      refuse(response, 404, 'EntryNotFound');
      return;
    }
    response.setHeader('x-repo-commit', commit);
    if (isLarge(repository, file, bytes)) {
      response.setHeader('x-linked-etag', `"${sha256(bytes)}"`);
      response.setHeader('x-linked-size', String(bytes.length));
      response.setHeader('location', `${addressOf(this.#storage)}/${sha256(bytes)}`);
      response.statusCode = 302;
      response.end();
      return;
    }
    response.setHeader('etag', `"${gitHash(bytes)}"`);
    sendBytes(seen, response, bytes);
  }

  #blob(hash: string): Buffer | null {
    const files = [...this.#repositories.values()].flatMap(({ files }) => Object.values(files));
    return files.find((bytes) => sha256(bytes) === hash) ?? null;
  }

  #small(path: string): Buffer | null {
    const [, , , , , ...rest] = path.split('/');
    const [, owner = '', name = ''] = path.split('/');
    const files = this.#repositories.get(`${owner}/${name}`)?.files ?? {};
    return new Map(Object.entries(files)).get(rest.join('/')) ?? null;
  }
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function isLarge({ large }: HubRepository, file: string, bytes: Buffer): boolean {
  return large === undefined ? bytes.length >= 1000 : large(file);
}

function commitOf({ commit, files }: HubRepository): string {
  if (commit !== undefined) return commit;
  const hash = createHash('sha1');
  for (const [name, bytes] of Object.entries(files)) hash.update(name).update(bytes);
  return hash.digest('hex');
}

const hashes = new WeakMap<Buffer, string>();

/** SHA-256 in hexadecimal digits. */
export function sha256(bytes: Buffer): string {
  const known = hashes.get(bytes) ?? createHash('sha256').update(bytes).digest('hex');
  hashes.set(bytes, known);
  return known;
}

function gitHash(bytes: Buffer): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.statusCode = status;
  response.setHeader('x-error-code', code);
  response.end(`${code}\n`);
}

/** Answers with a file, or the part of it that was asked for. */
export function sendBytes(
  { method, range }: SeenRequest,
  response: ServerResponse,
  bytes: Buffer | null,
): void {
  if (bytes === null) {
    refuse(response, 404, 'EntryNotFound');
    return;
  }
  const [, start] = /^bytes=(\d+)-$/.exec(range ?? '') ?? [];
  const from = Number(start ?? 0);
  if (from > 0 && from >= bytes.length) {
    refuse(response, 416, 'RangeNotSatisfiable');
    return;
  }
  if (start !== undefined) {
    response.statusCode = 206;
    response.setHeader('content-range', `bytes ${from}-${bytes.length - 1}/${bytes.length}`);
  }
  response.setHeader('content-length', String(bytes.length - from));
  response.end(method === 'HEAD' ? undefined : bytes.subarray(from));
}
