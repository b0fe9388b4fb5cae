import { setTimeout as sleep } from 'node:timers/promises';
import { BantamError } from '../../base/errors.js';
import type { HubSettings } from './settings.js';

/** Redirects that are followed at most. */
const MOST_REDIRECTS = 5;
/** Seconds that a server may ask to wait; more, and the user decides. */
const LONGEST_WAIT = 120;

/** A failure after which another attempt makes sense. */
export class TransientError extends Error {
  constructor(
    message: string,
    /** Seconds that the server asks to wait; null: it does not say. */
    readonly after: number | null = null,
  ) {
    super(message);
  }
}

/** An answer, whose body has not been read. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The body's chunks; throws a {@link TransientError} if the connection breaks or stalls. */
  readonly chunks: () => AsyncGenerator<Uint8Array>;
  /** Drops the connection if the body is not wanted. */
  readonly cancel: () => void;
}

/** A request to the Hub. */
export interface HubRequest {
  readonly url: string;
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  /** Redirects to follow: all, or only those within the endpoint. Default: all. */
  readonly follow?: 'all' | 'same-host';
  /** Answers that the caller treats itself, besides 2xx. */
  readonly accept?: readonly number[];
}

/**
 * Sends one request. The token goes to the endpoint's own host, never to one that it redirects to.
 *
 * @throws TransientError if another attempt makes sense: broken connection, silence, 408, 429, 5xx.
 * @throws BantamError if the server refuses: 401, 403, 404 and the like.
 */
export async function send(settings: HubSettings, request: HubRequest): Promise<Answer> {
  const { method = 'GET', headers = {}, follow = 'all', accept = [] } = request;
  let url = request.url;
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const own = sameOrigin(url, settings.endpoint);
    const answer = await once(settings, url, {
      method,
      headers: {
        'user-agent': 'bantam',
        // Sizes and offsets are those of the file, not of its compressed form.
        'accept-encoding': 'identity',
        ...(own && settings.token !== null && { authorization: `Bearer ${settings.token}` }),
        ...headers,
      },
    });
    const { status } = answer;
    const location = answer.headers.get('location');
    if (status >= 300 && status < 400 && location !== null) {
      const next = nextUrl(location, url);
      if (follow === 'same-host' && !sameOrigin(next, settings.endpoint)) return answer;
      answer.cancel();
      url = next;
      continue;
    }
    if (status < 300 || accept.includes(status)) return answer;
    answer.cancel();
    throw refusal(settings, answer, request.url);
  }
  throw new BantamError(
    `${hostOf(request.url)} redirects in a circle; check HF_ENDPOINT, or try again later.`,
  );
}

/** {@link send}, with further attempts after transient failures. */
export async function sendPatiently(settings: HubSettings, request: HubRequest): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send(settings, request);
    } catch (error) {
      await waitOrGiveUp(settings, error, { attempt, url: request.url });
    }
  }
}

/**
 * Waits before another attempt.
 *
 * @throws BantamError if attempts are used up or the server asks for too long a wait; the error itself if it is
 * not transient.
 */
export async function waitOrGiveUp(
  settings: HubSettings,
  error: unknown,
  { attempt, url, kept = false }: { attempt: number; url: string; kept?: boolean },
): Promise<void> {
  if (!(error instanceof TransientError)) throw error;
  const seconds = error.after ?? settings.retryDelay * 2 ** (attempt - 1);
  const advice = kept
    ? 'what has arrived is kept, and the next attempt resumes there'
    : 'try again later';
  if (error.after !== null && error.after > LONGEST_WAIT) {
    throw new BantamError(
      `${hostOf(url)} ${error.message} and asks to wait ${Math.ceil(error.after)} seconds; ${advice}.`,
    );
  }
  if (attempt >= settings.attempts) {
    throw new BantamError(`${hostOf(url)} ${error.message}, ${attempt} times in a row; ${advice}.`);
  }
  settings.onEvent({ kind: 'retry', reason: `${hostOf(url)} ${error.message}`, seconds });
  await sleep(seconds * 1000);
}

async function once(
  settings: HubSettings,
  url: string,
  { method, headers }: { method: string; headers: Record<string, string> },
): Promise<Answer> {
  const control = new AbortController();
  const guarded = <T>(work: Promise<T>): Promise<T> => withinTime(work, settings.timeout, control);
  const response = await guarded(
    fetch(url, { method, headers, redirect: 'manual', signal: control.signal }),
  );
  return {
    status: response.status,
    headers: response.headers,
    cancel: () => {
      control.abort();
    },
    async *chunks() {
      if (response.body === null) return;
      const body: ReadableStream<Uint8Array> = response.body;
      const reader = body.getReader();
      try {
        for (;;) {
          const { value } = await guarded(reader.read());
          if (value === undefined) return;
          yield value;
        }
      } finally {
        control.abort();
      }
    },
  };
}

/** The work's result; a {@link TransientError} if it fails or takes longer than `seconds`. */
async function withinTime<T>(
  work: Promise<T>,
  seconds: number,
  control: AbortController,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new TransientError(`sent nothing for ${seconds} seconds`));
      control.abort();
    }, seconds * 1000);
  });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, silence]);
  } catch (error) {
    if (error instanceof TransientError) throw error;
    throw new TransientError(connectionProblem(error));
  } finally {
    clearTimeout(timer);
  }
}

/** Meanings of network errors. */
const problems: ReadonlyMap<string, string> = new Map([
  ['ENOTFOUND', 'could not be found (is there a network?)'],
  ['EAI_AGAIN', 'could not be found (is there a network?)'],
  ['ECONNREFUSED', 'refuses connections'],
  ['UND_ERR_CONNECT_TIMEOUT', 'does not answer'],
  ['CERT_HAS_EXPIRED', 'has an expired certificate'],
]);

function connectionProblem(error: unknown): string {
  const { cause } = error as { cause?: { code?: string } };
  const { code = '' } = cause ?? {};
  return problems.get(code) ?? 'broke the connection';
}

/** The error for an answer that is no success. */
function refusal({ endpoint, token }: HubSettings, answer: Answer, url: string): Error {
  const { status, headers } = answer;
  const host = hostOf(url);
  if (status === 408 || status === 429 || status >= 500) {
    return new TransientError(`answered ${status}`, retryAfter(headers));
  }
  const code = headers.get('x-error-code') ?? '';
  const path = decodeURIComponent(url.slice(endpoint.length + 1))
    .replace(/^api\/models\//, '')
    .replace(/\/(resolve|revision)\//, ' at ');
  if (code === 'GatedRepo' || status === 403) {
    return new BantamError(
      `${host} does not give out ${path} (${status}): accept the model's terms on its page, and set HF_TOKEN to a token that may read it.`,
    );
  }
  if (status === 401) {
    return new BantamError(
      token === null
        ? `${host} has no public ${path} (401): check the name, or set HF_TOKEN if the model is private.`
        : `${host} refuses the token in HF_TOKEN for ${path} (401): check the name and the token.`,
    );
  }
  if (status === 404) {
    return new BantamError(
      code === 'RevisionNotFound'
        ? `${host} has the model, but not the revision of ${path} (404): check what follows the "@".`
        : `${host} has no ${path} (404): check the name.`,
    );
  }
  return new BantamError(`${host} answered ${status} for ${path}; check the name and HF_ENDPOINT.`);
}

/** Seconds of a `Retry-After` header, which names seconds or a date. */
function retryAfter(headers: Headers): number | null {
  const value = headers.get('retry-after');
  if (value === null) return null;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.max(0, seconds);
}

function nextUrl(location: string, base: string): string {
  try {
    return new URL(location, base).href;
  } catch {
    throw new BantamError(`${hostOf(base)} redirects to no address; try again later.`);
  }
}

function sameOrigin(url: string, endpoint: string): boolean {
  return originOf(url) === originOf(endpoint);
}

function originOf(url: string): string {
  return new URL(url).origin;
}

/** Host of an address, for messages: addresses of downloads may hold signatures. */
function hostOf(url: string): string {
  return new URL(url).host;
}
