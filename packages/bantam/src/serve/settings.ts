/** Settings of the server: one declaration for the library, the command line and the docs. */
import * as v from 'valibot';
import type { DeepReadonly } from '../base/readonly.js';
import {
  atLeast,
  count,
  flag,
  group,
  index,
  listOf,
  oneOf,
  positive,
  setting,
  text,
} from '../base/schema.js';

const portWanted = 'a port from 0 to 65535';

/** How items of many requests become batches. */
export const batchSchema = group({
  size: setting(count(), 32, 'Most images or texts in a batch.'),
  waitMs: setting(
    atLeast(0),
    2,
    'Longest wait of an item for others, in milliseconds, while the model is idle. While it computes, items gather anyway.',
  ),
});

/** Bounds on everything that a client decides. */
export const limitsSchema = group({
  queue: setting(
    count(),
    512,
    'Items of a model that are decoded, queued or computed at once; a request beyond them is answered with 429.',
  ),
  items: setting(count(), 128, 'Items of a request.'),
  prompts: setting(count(), 2048, 'Labels times templates of a classification.'),
  hits: setting(count(), 200, 'Images that a search finds.'),
  textLength: setting(count(), 4096, 'Characters of a text.'),
  bodyBytes: setting(count(), 2 ** 24, 'Bytes of a request body.'),
  pendingBytes: setting(
    count(),
    2 ** 28,
    'Bytes of all request bodies that are held at once; a request beyond them is answered with 429.',
  ),
  imageBytes: setting(count(), 10_000_000, 'Bytes of an image file.'),
  pixels: setting(count(), 50_000_000, 'Pixels of an image.'),
  decodeSeconds: setting(positive(), 10, 'Time to decode an image.'),
  requestSeconds: setting(positive(), 30, 'Time from the headers of a request to its answer.'),
  batchSeconds: setting(
    positive(),
    60,
    "Time of a batch; then the model's process is ended and started anew.",
  ),
  healthSeconds: setting(
    positive(),
    5,
    'Time for the embeddings of /healthz; longer than a batch of the model takes.',
  ),
  headerSeconds: setting(positive(), 10, 'Time for a client to send its headers.'),
  bodySeconds: setting(positive(), 20, 'Time for a client to send a whole request.'),
  idleSeconds: setting(positive(), 5, 'Time that a connection is kept open between requests.'),
  connections: setting(count(), 1024, 'Connections at once; others are closed.'),
  stopSeconds: setting(positive(), 30, 'Time for accepted requests after SIGTERM.'),
  fetchSeconds: setting(positive(), 5, 'Time to fetch an image from an allowed host.'),
});

/** All settings beside the models and indexes. */
export const serveSchema = group({
  host: setting(text(), '127.0.0.1', 'Address to listen at.'),
  port: setting(
    v.pipe(
      v.number(portWanted),
      v.safeInteger(portWanted),
      v.minValue(0, portWanted),
      v.maxValue(65_535, portWanted),
    ),
    8000,
    'Port to listen at; 0: any that is free.',
  ),
  apiKeys: setting(
    listOf(text()),
    [],
    'Keys of at least 16 characters, one of which every request must carry; none: no key is asked for.',
  ),
  public: setting(
    flag(),
    false,
    'Listen at other addresses than those of this machine without an API key.',
  ),
  hosts: setting(
    listOf(text()),
    [],
    "Names beside localhost by which a server without API keys may be called: a web page's own name that leads here is refused.",
  ),
  cors: setting(listOf(text()), [], 'Origins whose web pages may call the server.'),
  fetchHosts: setting(
    listOf(text()),
    [],
    'Hosts from which images are fetched by URL, such as images.example.com or *.example.com; never from private addresses.',
  ),
  precision: setting(
    oneOf('fp32', 'bf16', 'int8', 'auto'),
    'fp32',
    'Precision of the models; int8: of their linear layers.',
  ),
  device: setting(
    text(),
    'auto',
    'Device of the models: cpu, cuda, cuda:N or mps; auto: a GPU if there is one.',
  ),
  threads: setting(
    index(),
    0,
    'Threads of each model; 0: OMP_NUM_THREADS, else one for each core but one, which the server needs.',
  ),
  decoders: setting(index(), 0, 'Threads that decode images; 0: half of the cores, at most four.'),
  log: setting(flag(), false, 'Write a JSON line for each request to standard error.'),
  batch: setting(batchSchema, {}, 'Batches.'),
  limits: setting(limitsSchema, {}, 'Bounds on what clients send.'),
});

/** Settings of a server; absent ones have their defaults. */
export type ServeSettings = DeepReadonly<v.InferInput<typeof serveSchema>>;

/** Settings of a server with their defaults. */
export type ResolvedServeSettings = DeepReadonly<v.InferOutput<typeof serveSchema>>;

/** Bounds on everything that a client decides. */
export type Limits = ResolvedServeSettings['limits'];
