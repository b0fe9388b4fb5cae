import { request as requestHttp, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';

/** A server's answer. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  /** Seconds after which the server wants to be asked again, where it says so. */
  readonly retryAfter?: number;
  /** Target of a redirect. */
  readonly location?: string;
}

export interface PostOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** Seconds until the answer must be whole. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

/** Answers beyond this many bytes are not read to their end. */
const mostBytes = 4 * 2 ** 20;

/** Why there is no answer: the system's code such as `ECONNREFUSED`, `timeout` or `too long`. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';

  constructor(readonly code: string) {
    super(`no answer: ${code}`);
  }
}

/**
 * Posts JSON. Node's fetch gives up after five minutes whatever its options, and captioning on a
 * CPU may take longer; so this is node:http.
 *
 * @throws NoAnswer when there is none, or the signal's reason.
 */
export function postJson(url: URL, value: unknown, options: PostOptions): Promise<HttpAnswer> {
  const { timeout, signal } = options;
  const body = Buffer.from(JSON.stringify(value));
  const headers = {
    ...options.headers,
    'content-type': 'application/json',
    'content-length': String(body.length),
  };
  return new Promise((resolve, reject) => {
    const settings: RequestOptions = { method: 'POST', headers, signal };
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, settings);
    let late: NoAnswer | undefined;
    const timer = setTimeout(() => {
      late = new NoAnswer('timeout');
      request.destroy(late);
    }, timeout * 1000);
    const fail = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timer);
      if (signal.aborted) reject(signal.reason as Error);
      else reject(late ?? (error instanceof NoAnswer ? error : new NoAnswer(error.code ?? '?')));
      request.destroy();
    };
    request.on('error', fail);
    request.on('response', (response) => {
      readBody(response).then((text) => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, body: text, ...said(response) });
      }, fail);
    });
    request.end(body);
  });
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw new NoAnswer('too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function said({ headers }: IncomingMessage): Pick<HttpAnswer, 'retryAfter' | 'location'> {
  const { location } = headers;
  const retryAfter = Number(headers['retry-after']);
  return {
    ...(Number.isFinite(retryAfter) && { retryAfter }),
    ...(location !== undefined && { location }),
  };
}
