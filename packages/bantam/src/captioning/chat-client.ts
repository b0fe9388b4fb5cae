import { setTimeout as sleep } from 'node:timers/promises';
import { BantamError, UsageError } from '../base/errors.js';
import { isObject } from '../base/schema.js';
import { excerpt } from './clean-caption.js';
import { NoAnswer, postJson, type HttpAnswer } from './post-json.js';

export interface ChatClientOptions {
  /** Address of the server, with or without `/v1`. */
  readonly url: string;
  readonly model: string;
  /** Sent as a bearer token. */
  readonly key?: string;
  /** Seconds that an answer may take. */
  readonly timeout: number;
  /** How often a request is repeated that a server did not take. */
  readonly retries: number;
}

/** The texts of an answer, or why there is none that counts. */
export type ChatAnswer =
  | { readonly texts: readonly string[]; readonly cut: boolean }
  | { readonly failure: 'timeout' | 'refused' | 'nonsense'; readonly reason: string };

/** Statuses of a server that is there but has no room yet, or is loading its model. */
const busy = [408, 425, 429, 503];

/** The longest wait before a request is repeated, in seconds. */
const longestWait = 60;

/** Talks to one model of a server with OpenAI's interface for chats. */
export class ChatClient {
  readonly #options: ChatClientOptions;
  readonly #url: URL;
  /** The server has answered before, so it may come back. */
  #met = false;

  constructor(options: ChatClientOptions) {
    this.#options = options;
    this.#url = chatUrl(options.url);
  }

  /**
   * One completion request. What may pass (no connection to a server that was there, too many
   * requests, errors of the server, a timeout) is repeated after 1, 2, 4, … seconds.
   *
   * @throws BantamError when the server is down, refuses the key or has no such model, or the
   * signal's reason.
   */
  async ask(request: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<ChatAnswer> {
    const { model, key, timeout, retries } = this.#options;
    const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
    for (let attempt = 0; ; attempt++) {
      const answer = await postJson(this.#url, { ...request, model }, { headers, timeout, signal })
        .then((answer) => {
          this.#met = true;
          return answer;
        })
        .catch((error: unknown) => {
          if (error instanceof NoAnswer) return error;
          throw error;
        });
      const wait = this.#wait(answer, attempt);
      if (attempt < retries && wait !== undefined) {
        await sleep(Math.min(wait, longestWait) * 1000, undefined, { signal });
        continue;
      }
      return answer instanceof NoAnswer ? this.#unanswered(answer) : this.#read(answer);
    }
  }

  /** Seconds until a request is worth repeating; undefined where it is not. */
  #wait(answer: HttpAnswer | NoAnswer, attempt: number): number | undefined {
    const usual = 2 ** attempt;
    if (answer instanceof NoAnswer) {
      if (answer.code === 'too long') return undefined;
      if (answer.code === 'timeout') return attempt === 0 ? 0 : undefined;
      return this.#met ? usual : undefined;
    }
    if (busy.includes(answer.status)) return answer.retryAfter ?? usual;
    return answer.status >= 500 && attempt < 2 ? usual : undefined;
  }

  #unanswered({ code }: NoAnswer): ChatAnswer {
    const { timeout } = this.#options;
    if (code === 'too long') return { failure: 'nonsense', reason: 'the answer has no end' };
    if (code === 'timeout') {
      return { failure: 'timeout', reason: `no answer within ${timeout} s` };
    }
    throw new BantamError(
      `The endpoint ${this.#url.origin} cannot be reached (${code}); start its server or correct the address.`,
    );
  }

  #read(answer: HttpAnswer): ChatAnswer {
    const { status, body, location } = answer;
    if (status >= 200 && status < 300) return readTexts(body);
    const { model, key } = this.#options;
    const says = `HTTP ${status}, ${serverMessage(body)}`;
    const stop = (what: string): never => {
      throw new BantamError(`The endpoint ${this.#url.origin} ${what}.`);
    };
    if (status >= 300 && status < 400) {
      return stop(`redirects to ${location ?? 'elsewhere'} (HTTP ${status}); give that address`);
    }
    if (status === 401 || status === 403) {
      return stop(
        `${key === undefined ? 'wants a key' : 'refuses the key'} (${says}); set BANTAM_ENDPOINT_KEY`,
      );
    }
    if (status === 404 || status === 405) {
      return stop(
        `has no model "${model}" or no ${this.#url.pathname} (${says}); correct the model's name or the address`,
      );
    }
    if (busy.includes(status)) {
      return stop(`is too busy (${says}); ask for less at once, or wait until it is ready`);
    }
    return { failure: 'refused', reason: says };
  }
}

/** The address of completions: `/v1` is added where the address has no version. */
function chatUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(
      `"${text}" is no address of an endpoint; write it as http://localhost:8080.`,
    );
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new UsageError(
      `The endpoint "${text}" is not http or https; write it as http://localhost:8080.`,
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new UsageError(
      'An endpoint takes its key from the environment variable BANTAM_ENDPOINT_KEY, not from its address.',
    );
  }
  const path = url.pathname.replace(/\/+$/, '').replace(/\/chat\/completions$/, '');
  url.pathname = `${/\/v\d+\w*$/.test(path) ? path : `${path}/v1`}/chat/completions`;
  return url;
}

/** A server's error message on one line. */
function serverMessage(body: string): string {
  const value = parse(body);
  const error = isObject(value) ? (value.error ?? value.message ?? value.detail) : undefined;
  const message = isObject(error) ? error.message : error;
  const text = typeof message === 'string' ? message : body;
  return text.trim() === '' ? 'without a message' : excerpt(text);
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return undefined;
  }
}

/** The texts of a completion's choices. */
function readTexts(body: string): ChatAnswer {
  const value = parse(body);
  if (value === undefined) {
    return { failure: 'nonsense', reason: `the answer is not JSON: ${excerpt(body)}` };
  }
  const choices = isObject(value) && Array.isArray(value.choices) ? value.choices : [];
  const read = choices.flatMap((choice: unknown) => {
    const message = isObject(choice) ? choice.message : undefined;
    if (!isObject(choice) || !isObject(message)) return [];
    return [{ text: contentText(message.content), cut: choice.finish_reason === 'length' }];
  });
  if (read.length === 0) {
    return { failure: 'nonsense', reason: `the answer has no choices: ${excerpt(body)}` };
  }
  return { texts: read.map(({ text }) => text), cut: read.every(({ cut }) => cut) };
}

/** A message's content: a text, or a list of parts with texts. */
function contentText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .map((part: unknown) => (isObject(part) && typeof part.text === 'string' ? part.text : ''))
    .join('');
}
