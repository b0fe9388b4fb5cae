/** Who may call the server: API keys, and the names under which a server without them may be called. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { BantamError } from '../../base/errors.js';
import type { ResolvedServeSettings } from '../settings.js';
import { RequestError } from './request-error.js';

const leastKeyLength = 16;

/** Paths that need no key: a load balancer asks for them. */
const openPaths = new Set(['/healthz']);

/** The headers of a request that decide about access. */
export interface AccessHeaders {
  readonly authorization?: string | undefined;
  readonly host?: string | undefined;
}

/**
 * The check of each request, by the settings.
 *
 * @returns throws RequestError for a request that is refused.
 * @throws BantamError for keys that are too short, and for a server that anybody could call by mistake.
 */
export function createAccess({
  apiKeys,
  host,
  hosts,
  public: isPublic,
}: Pick<ResolvedServeSettings, 'apiKeys' | 'host' | 'hosts' | 'public'>): (
  path: string,
  headers: AccessHeaders,
) => void {
  if (apiKeys.some((key) => key.length < leastKeyLength || /\s/.test(key))) {
    throw new BantamError(
      `An API key needs at least ${leastKeyLength} characters without blanks; make one with: openssl rand -hex 32`,
    );
  }
  if (apiKeys.length > 0) {
    const digests = apiKeys.map(digest);
    return (path, headers) => {
      if (!openPaths.has(path)) checkKey(headers.authorization, digests);
    };
  }
  if (!isLoopback(host) && !isPublic) {
    throw new BantamError(
      `At ${host} anybody in the network could use the server: set an API key (BANTAM_API_KEY or --api-key-file), or allow it with --public.`,
    );
  }
  if (isPublic) return () => undefined;
  const names = new Set(hosts.map((name) => name.toLowerCase()));
  return (_, headers) => {
    checkName(headers.host, names);
  };
}

/** True for names and addresses of this machine itself. */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  return isIP(host) !== 0 && ipaddr.process(host).range() === 'loopback';
}

function checkKey(authorization: string | undefined, digests: readonly Buffer[]): void {
  const [, key] = /^Bearer (\S+)$/i.exec(authorization ?? '') ?? [];
  if (key === undefined) {
    throw new RequestError(
      401,
      'An API key is missing; send the header "Authorization: Bearer KEY".',
      { code: 'missing_api_key' },
    );
  }
  // Digests have one length, and all are compared: the time tells nothing about the keys.
  const given = digest(key);
  let known = false;
  for (const one of digests) known = timingSafeEqual(given, one) || known;
  if (!known) throw new RequestError(401, 'The API key is wrong.', { code: 'invalid_api_key' });
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/**
 * A page of another site whose name was made to lead to this machine (DNS rebinding) calls by that
 * name.
 */
function checkName(host: string | undefined, names: ReadonlySet<string>): void {
  const url = `http://${host ?? ''}`;
  const name = URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : '';
  if (isLoopback(name) || names.has(name)) return;
  throw new RequestError(
    421,
    `This server is not called "${name.slice(0, 100)}"; without an API key it answers to localhost alone, or to the names in --allow-host.`,
    { code: 'wrong_host' },
  );
}
