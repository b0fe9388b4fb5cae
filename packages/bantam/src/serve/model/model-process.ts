/**
 * A process that holds one model and computes embeddings. It is a process and not a thread because
 * native code cannot be interrupted in a thread: one that hangs or crashes here is ended and replaced,
 * and the server answers on.
 */
import { scope } from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import {
  encodePixels,
  encodeTexts,
  loadForInference,
  type InferenceModel,
} from '../../eval/index.js';
import type {
  Encoded,
  Job,
  JobMessage,
  ModelDescription,
  ProcessMessage,
  StartMessage,
} from './messages.js';

// Signals to the whole group of processes are the server's to handle.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined);
// The server is gone.
process.on('disconnect', () => process.exit());

let chain: Promise<unknown> = Promise.resolve();
process.once('message', (start) => {
  chain = load(start as StartMessage);
});

async function load({ directory, precision }: StartMessage): Promise<void> {
  let model: InferenceModel;
  try {
    model = await loadForInference(directory, { precision });
    await warmUp(model);
  } catch (error) {
    send({ refused: messageOf(error) });
    return;
  }
  process.on('message', (message) => {
    chain = chain.then(() => answer(model, message as JobMessage));
  });
  send({ ready: describe(model) });
}

/** A first batch of each kind, for which the runtime prepares its kernels. */
async function warmUp(model: InferenceModel): Promise<void> {
  const { size } = model.loaded.preprocess;
  await encode(model, { kind: 'text', texts: ['a'] });
  await encode(model, { kind: 'image', pixels: new Uint8Array(size * size * 3), count: 1 });
}

function describe({ loaded }: InferenceModel): ModelDescription {
  const { model, config, preprocess, tokenizer } = loaded;
  return {
    dimensions: config.embedDim,
    contextLength: tokenizer.contextLength,
    preprocess,
    logitScale: Math.exp(model.logitScale.item()),
    logitBias: model.logitBias?.item() ?? null,
  };
}

async function answer(model: InferenceModel, { id, job }: JobMessage): Promise<void> {
  try {
    send({ id, encoded: await encode(model, job), residentBytes: process.memoryUsage.rss() });
  } catch (error) {
    send({ id, error: messageOf(error) });
  }
}

async function encode({ loaded, precision }: InferenceModel, job: Job): Promise<Encoded> {
  if (job.kind === 'image') {
    const { size } = loaded.preprocess;
    const input = { pixels: job.pixels, shape: [job.count, size, size, 3] } as const;
    const features = scope(() => encodePixels(loaded, input, { precision }));
    return { features, tokens: [], truncated: [] };
  }
  const { texts } = job;
  const encoded = await encodeTexts(loaded, texts, { precision, batchSize: texts.length });
  const features = encoded.toTypedArray();
  encoded.dispose();
  if (!(features instanceof Float32Array)) throw new BantamError('Embeddings are no float32.');
  const { tokenizer } = loaded;
  const ids = texts.map((text) => tokenizer.encode(text));
  return {
    features,
    tokens: ids.map(({ length }) => length),
    truncated: ids.map(({ length }, i) => {
      if (length < tokenizer.contextLength) return false;
      // The context is full; the text went on if its last character changes nothing.
      const shorter = at(texts, i).trimEnd().slice(0, -1);
      return String(tokenizer.encode(shorter)) === String(ids[i]);
    }),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function send(message: ProcessMessage): void {
  // The server may have gone in between.
  if (process.connected) process.send?.(message);
}
