/**
 * Images by URL, from hosts that the operator has allowed. Every address that a name leads to is
 * checked, the connection goes to the checked address itself, and so it is for each redirect: neither a
 * name that changes its address in between nor a redirect reaches a private network.
 */
import { lookup as resolveName, type LookupAddress } from 'node:dns';
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { BadRequest } from '../http/request-error.js';

const mostRedirects = 3;

/** Resolves a name to all of its addresses. */
export type ResolveAll = (name: string) => Promise<readonly LookupAddress[]>;

export interface FetchImageOptions {
  /** Allowed hosts, with their port if it is another: `images.example.com`, `*.example.com` for those below it. */
  readonly hosts: readonly string[];
  readonly imageBytes: number;
  readonly seconds: number;
  readonly signal?: AbortSignal;
  /** Resolver of names; the system's by default. */
  readonly resolve?: ResolveAll;
  /** True for an address that may be reached; by default public ones alone. */
  readonly permits?: (address: string) => boolean;
}

const refusal = { code: 'invalid_image_url' } as const;

/**
 * The bytes of an image at a URL.
 *
 * @throws BadRequest where the URL, its host or an address is not allowed, and where it cannot be read
 * within the bounds.
 */
export async function fetchImage(
  url: string,
  options: FetchImageOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const timeout = AbortSignal.timeout(options.seconds * 1000);
  const { signal } = options;
  const either = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  let current = allowedUrl(url, options.hosts);
  try {
    for (let redirects = 0; redirects <= mostRedirects; redirects++) {
      const response = await open(current, { ...options, signal: either });
      const { statusCode = 0 } = response;
      const { location } = response.headers;
      if (statusCode >= 300 && statusCode < 400 && location !== undefined) {
        response.destroy();
        current = allowedUrl(new URL(location, current).href, options.hosts);
        continue;
      }
      if (statusCode !== 200) {
        response.destroy();
        throw new BadRequest(`${current.host} answers with status ${statusCode}.`, refusal);
      }
      return await readBounded(response, options.imageBytes);
    }
  } catch (error) {
    if (error instanceof BadRequest) throw error;
    if (signal?.aborted === true) throw error;
    throw new BadRequest(
      timeout.aborted
        ? `${current.host} takes longer than ${options.seconds} s.`
        : `The image cannot be fetched from ${current.host}.`,
      refusal,
    );
  }
  throw new BadRequest(`${current.host} redirects more than ${mostRedirects} times.`, refusal);
}

/** @throws BadRequest unless it is a plain URL of an allowed host. */
export function allowedUrl(text: string, hosts: readonly string[]): URL {
  if (hosts.length === 0) {
    throw new BadRequest(
      'This server fetches no URLs; send the image as a data URI: data:image/png;base64,…',
      refusal,
    );
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new BadRequest('The URL of an image must start with https:// or http://.', refusal);
  }
  if (url.username !== '' || url.password !== '') {
    throw new BadRequest('The URL of an image must hold no user name and password.', refusal);
  }
  // A trailing dot makes another text of the same name; the protocol's own port is no part of `host`.
  const host = url.host.toLowerCase().replace(/\.(?=:|$)/, '');
  if (!hosts.some((allowed) => matches(host, allowed.toLowerCase()))) {
    throw new BadRequest(`Images are not fetched from the host "${host}".`, refusal);
  }
  return url;
}

function matches(host: string, allowed: string): boolean {
  return allowed.startsWith('*.') ? host.endsWith(allowed.slice(1)) : host === allowed;
}

/** True for an address of the public internet: not of this machine, a private network or a special use. */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  // Also IPv4 within IPv6.
  const parsed = ipaddr.process(address);
  return parsed.range() === 'unicast';
}

const systemResolve: ResolveAll = (name) =>
  new Promise((resolve, reject) => {
    resolveName(name, { all: true }, (error, addresses) => {
      if (error === null) resolve(addresses);
      else reject(error);
    });
  });

async function open(
  url: URL,
  {
    resolve = systemResolve,
    permits = isPublicAddress,
    signal,
  }: Pick<FetchImageOptions, 'resolve' | 'permits' | 'signal'>,
): Promise<IncomingMessage> {
  const name = url.hostname.replace(/^\[|\]$/g, '');
  const family = isIP(name);
  const addresses = family === 0 ? await resolve(name) : [{ address: name, family }];
  const [address] = addresses;
  if (address === undefined || !addresses.every((found) => permits(found.address))) {
    throw new BadRequest(`The host "${url.hostname}" leads to a private address.`, refusal);
  }
  // The connection is to the address that was checked, whatever the name says by then.
  const pinned: LookupFunction = (_, { all }, callback) => {
    if (all === true) callback(null, [address]);
    else callback(null, address.address, address.family);
  };
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const request = send(
      url,
      {
        lookup: pinned,
        // No connection of an earlier request is used again.
        agent: false,
        headers: { accept: 'image/*', 'user-agent': 'bantam' },
        ...(signal !== undefined && { signal }),
      },
      resolve,
    );
    request.on('error', reject);
    request.end();
  });
}

async function readBounded(
  response: IncomingMessage,
  most: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > most) {
      throw new BadRequest(`The image has more than ${most} bytes; shrink it.`, refusal);
    }
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let start = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, start);
    start += chunk.length;
  }
  return bytes;
}
