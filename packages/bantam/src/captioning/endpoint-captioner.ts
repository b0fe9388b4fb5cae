import { BantamError, UsageError } from '../base/errors.js';
import {
  imageRng,
  type Captioner,
  type CaptionOutcome,
  type CaptionImage,
  type CaptionRequest,
} from './captioner.js';
import { ChatClient, type ChatAnswer } from './chat-client.js';
import { cleanCaption } from './clean-caption.js';
import { mapInOrder } from './in-order.js';
import { imageUrl } from './image-url.js';

/** Default prompt for an endpoint; ours. */
export const captionPrompt =
  'Write a caption for this image: one short sentence that says what it shows. Answer with the caption alone.';

export interface EndpointCaptionerOptions {
  /** Address of the server, with or without `/v1`, such as `http://localhost:8080`. */
  readonly url: string;
  /** The model's name on the server. */
  readonly model: string;
  /** Sent as a bearer token; none by default. */
  readonly key?: string;
  /** {@link captionPrompt} by default. */
  readonly prompt?: string;
  /** 0.8 by default, so that several captions of an image differ; ours. */
  readonly temperature?: number;
  /** The server's by default. */
  readonly topK?: number;
  /** The server's by default. */
  readonly topP?: number;
  /** Most tokens of an answer, thoughts included; 200 by default. */
  readonly maxTokens?: number;
  /** Longer side that images are shrunk to, in pixels; 512 by default. */
  readonly imageSize?: number;
  /** Images asked about at once; 2 by default. */
  readonly concurrency?: number;
  /** Seconds that an answer may take; 120 by default. */
  readonly timeout?: number;
  /** How often a request is repeated that the server did not take; 5 by default. */
  readonly retries?: number;
}

/** So many images in a row without a usable answer, and none of the others will have one. */
const mostRefused = 5;
/** Timeouts cost more time than other failures. */
const mostTimeouts = 2;

type Failed = Extract<ChatAnswer, { failure: string }>;

/**
 * A vision model behind OpenAI's interface for chats (`POST /v1/chat/completions`), as llama.cpp,
 * Ollama, vLLM and LM Studio serve it. Answers are cleaned by {@link cleanCaption}; an image
 * without a usable answer is passed by.
 */
export class EndpointCaptioner implements Captioner {
  readonly source: string;
  readonly together = 1;
  readonly settings: Readonly<Record<string, string | number>>;
  readonly #client: ChatClient;
  readonly #concurrency: number;
  readonly #prompt: string;
  readonly #imageSize: number;
  readonly #sampling: Readonly<Record<string, number>>;
  /** The server takes no requests for several choices. */
  #single = false;

  constructor(options: EndpointCaptionerOptions) {
    const { url, model, key, timeout = 120, retries = 5, concurrency = 2 } = options;
    const { prompt = captionPrompt, imageSize = 512 } = options;
    const { temperature = 0.8, topP, topK, maxTokens = 200 } = options;
    if (model.trim() === '') throw new UsageError('An endpoint needs the name of a model.');
    this.source = `endpoint:${model}`;
    this.#client = new ChatClient({ url, model, timeout, retries, ...(key && { key }) });
    this.#concurrency = concurrency;
    this.#prompt = prompt;
    this.#imageSize = imageSize;
    this.#sampling = {
      temperature,
      ...(topP !== undefined && { top_p: topP }),
      ...(topK !== undefined && { top_k: topK }),
      max_tokens: maxTokens,
    };
    this.settings = { prompt, imageSize, ...this.#sampling };
  }

  async *caption(
    images: AsyncIterable<CaptionImage>,
    request: CaptionRequest,
  ): AsyncGenerator<CaptionOutcome, void, undefined> {
    const controller = new AbortController();
    const signal = AbortSignal.any([
      controller.signal,
      ...(request.signal ? [request.signal] : []),
    ]);
    const work = (image: CaptionImage) => this.#captionOne(image, { ...request, signal });
    let inRow: Failed[] = [];
    try {
      for await (const { key, captions, failed } of mapInOrder(images, this.#concurrency, work)) {
        if (failed === undefined) {
          inRow = [];
          yield { key, captions };
        } else {
          inRow.push(failed);
          this.#stopIfHopeless(inRow);
          yield { key, reason: failed.reason };
        }
      }
    } catch (error) {
      if (request.signal?.aborted) return;
      throw error;
    } finally {
      controller.abort();
    }
  }

  async #captionOne(
    image: CaptionImage,
    { count, seed, signal }: CaptionRequest & { signal: AbortSignal },
  ): Promise<{ key: string; captions: readonly string[]; failed?: Failed }> {
    const { key } = image;
    const url = await imageUrl(image, this.#imageSize);
    const seeds = imageRng(seed, key);
    const captions = new Map<string, string>();
    let failed: Failed = { failure: 'nonsense', reason: '' };
    // One request more than captions, as some answers repeat others; two without any are enough.
    for (let asked = 0; asked <= count && captions.size < count; asked++) {
      if (asked >= 2 && captions.size === 0) break;
      const answer = await this.#ask(url, {
        n: count - captions.size,
        // 31 bits: servers read signed integers.
        seed: seeds.bits() >>> 1,
        signal,
      });
      if ('failure' in answer) {
        failed = answer;
        if (answer.failure === 'nonsense') continue;
        break;
      }
      for (const text of answer.texts) {
        const cleaned = cleanCaption(text);
        if ('reason' in cleaned) {
          const cut = answer.cut ? ', cut at the most tokens that it may have' : '';
          failed = { failure: 'nonsense', reason: `the answer ${cleaned.reason}${cut}` };
        } else if (captions.size < count) {
          const same = cleaned.text.toLowerCase().replace(/[.!]$/, '');
          if (!captions.has(same)) captions.set(same, cleaned.text);
        }
      }
    }
    return { key, captions: [...captions.values()], ...(captions.size === 0 && { failed }) };
  }

  async #ask(
    url: string,
    { n, seed, signal }: { n: number; seed: number; signal: AbortSignal },
  ): Promise<ChatAnswer> {
    const content = [
      { type: 'text', text: this.#prompt },
      { type: 'image_url', image_url: { url } },
    ];
    const body = { messages: [{ role: 'user', content }], ...this.#sampling, seed, stream: false };
    if (n === 1 || this.#single) return this.#client.ask(body, signal);
    const answer = await this.#client.ask({ ...body, n }, signal);
    if (!('failure' in answer) || answer.failure !== 'refused') return answer;
    // Perhaps the server takes no requests for several choices: if one is taken, that was it.
    const single = await this.#client.ask(body, signal);
    if (!('failure' in single)) this.#single = true;
    return single;
  }

  #stopIfHopeless(inRow: readonly Failed[]): void {
    const [last] = inRow.slice(-1);
    const timeouts = inRow.slice(-mostTimeouts).filter(({ failure }) => failure === 'timeout');
    if (timeouts.length === mostTimeouts) {
      throw new BantamError(
        `${this.source} gave ${last?.reason ?? ''} for ${mostTimeouts} images in a row; allow more time, smaller images or fewer at once.`,
      );
    }
    if (inRow.length < mostRefused) return;
    throw new BantamError(
      `${this.source} gave no usable caption for ${mostRefused} images in a row (the last: ${last?.reason ?? ''}); try another prompt or another model.`,
    );
  }
}
