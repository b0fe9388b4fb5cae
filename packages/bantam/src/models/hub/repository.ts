import { createHash } from 'node:crypto';
import { BantamError } from '../../base/errors.js';
import { isObject } from '../../base/schema.js';
import { isCommit } from './cache.js';
import { sendPatiently } from './request.js';
import type { HubSettings } from './settings.js';

/** The largest answer that is read as JSON. */
const LARGEST_ANSWER = 1 << 26;

/** Files of a repository at a revision. */
export interface RepositoryFiles {
  readonly commit: string;
  readonly files: readonly string[];
}

/**
 * Lists the files of a repository: `GET /api/models/OWNER/NAME/revision/REVISION`.
 *
 * @throws BantamError if the server refuses, or answers with something else.
 */
export async function listRepository(
  settings: HubSettings,
  repository: string,
  revision: string,
): Promise<RepositoryFiles> {
  const url = `${settings.endpoint}/api/models/${repository}/revision/${encodeURIComponent(revision)}`;
  const answer = await sendPatiently(settings, { url });
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.chunks()) {
    bytes += chunk.length;
    if (bytes > LARGEST_ANSWER) break;
    parts.push(chunk);
  }
  const { sha, siblings } = parse(Buffer.concat(parts).toString('utf8'));
  if (typeof sha !== 'string' || !isCommit(sha) || !Array.isArray(siblings)) {
    throw new BantamError(
      `${new URL(url).host} does not answer as a Hub does; check HF_ENDPOINT, and whether a proxy or login page is in the way.`,
    );
  }
  const files = siblings.flatMap((entry: unknown) =>
    isObject(entry) && typeof entry.rfilename === 'string' ? [entry.rfilename] : [],
  );
  return { commit: sha, files: files.filter(isSafePath) };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value = JSON.parse(text) as unknown;
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** True for a path that stays in its folder. */
export function isSafePath(path: string): boolean {
  const parts = path.split('/');
  return !/[\\\0:]/.test(path) && parts.every((part) => !['', '.', '..'].includes(part));
}

/** A file of a repository. */
export interface RepositoryFile {
  readonly url: string;
  /** Null: the server does not say. */
  readonly bytes: number | null;
  /** Name of its blob in the cache. */
  readonly etag: string;
}

/**
 * Asks for a file's size and ETag: `HEAD /OWNER/NAME/resolve/COMMIT/FILE`. For files in large-file
 * storage, which is on another host, these are in `X-Linked-Size` and `X-Linked-ETag`, the SHA-256.
 *
 * @throws BantamError if the server refuses.
 */
export async function describeFile(
  settings: HubSettings,
  { repository, commit, file }: { repository: string; commit: string; file: string },
): Promise<RepositoryFile> {
  const path = file.split('/').map(encodeURIComponent).join('/');
  const url = `${settings.endpoint}/${repository}/resolve/${commit}/${path}`;
  const { headers, status } = await sendPatiently(settings, {
    url,
    method: 'HEAD',
    follow: 'same-host',
  });
  const etag = (headers.get('x-linked-etag') ?? headers.get('etag') ?? '')
    .replace(/^W\//, '')
    .replaceAll('"', '');
  const size =
    headers.get('x-linked-size') ?? (status < 300 ? headers.get('content-length') : null);
  return {
    url,
    bytes: size === null || !/^\d+$/.test(size) ? null : Number(size),
    etag: isSafePath(etag) && /^[\w.-]{1,128}$/.test(etag) ? etag : hashed(`${url} ${etag}`),
  };
}

/** A name for the blob of a server that gives none that could be a file's. */
function hashed(text: string): string {
  return `url-${createHash('sha256').update(text).digest('hex')}`;
}
