/** The worker that holds the model, so that the page stays responsive while it computes. */
import { BantamError } from 'bantam/portable';
import { WebClip } from '../clip.js';
import { loadIndex } from '../index-file.js';
import { direction } from '../vectors.js';
import { labelVectors, scoreLabels } from '../zero-shot.js';
import { Collection } from './collection.js';
import type { CallName, Handlers, PageConfig, Reply, Request } from './protocol.js';

interface Open {
  readonly clip: WebClip;
  readonly collection: Collection;
  readonly config: PageConfig;
}

let opening: Promise<Open> | undefined;

function post(reply: Reply): void {
  globalThis.postMessage(reply);
}

async function opened(): Promise<Open> {
  if (opening === undefined) throw new BantamError('The model is not open yet.');
  return opening;
}

async function openAll(config: PageConfig, base: string): Promise<Open> {
  const onDownload = (download: Extract<Reply, { download: object }>['download']): void => {
    post({ download });
  };
  const { model, runtime, index } = config;
  const wasmPaths = new URL(runtime, base).href;
  const clip = await WebClip.load(new URL(model, base), { wasmPaths, onDownload });
  if (index === null) return { clip, config, collection: new Collection() };
  const found = await loadIndex(new URL(index.embeddings, base), onDownload);
  if (found.width !== clip.embedDim) {
    throw new BantamError(
      `The index has ${found.width} dimensions and the model ${clip.embedDim}; export with the model that embedded the images.`,
    );
  }
  return { clip, config, collection: new Collection(found) };
}

/** Vectors of the labels that were asked for last. */
let known: { readonly labels: string; readonly vectors: Promise<Float32Array[]> } | undefined;

const handlers: Handlers = {
  async open({ config, base }) {
    opening = openAll(config, base);
    const { clip, collection } = await opening;
    return { ...clip.runtime, dtype: clip.dtype, size: collection.indexed };
  },

  async search({ text, like, k }) {
    const { clip, collection } = await opened();
    const vectors = [
      ...(text === undefined ? [] : await clip.embedTexts([text])),
      ...(like === undefined ? [] : [collection.vector(like)]),
    ];
    return vectors.length === 0 ? [] : collection.nearest(direction(vectors), k);
  },

  async add(image) {
    const { clip, collection } = await opened();
    const [vector] = await clip.embedImages([image]);
    if (vector === undefined) throw new BantamError('The model gave no features.');
    return collection.add(vector);
  },

  async classify({ image, labels }) {
    const { clip, collection, config } = await opened();
    const key = JSON.stringify(labels);
    if (known?.labels !== key) {
      const encode = (texts: readonly string[]) => clip.embedTexts(texts);
      known = { labels: key, vectors: labelVectors(encode, labels, config.templates) };
    }
    return scoreLabels(collection.vector(image), labels, await known.vectors, clip.logits);
  },
};

async function answer<N extends CallName>({ id, name, argument }: Request<N>): Promise<void> {
  try {
    post({ id, answer: await handlers[name](argument) });
  } catch (error) {
    post({ id, error: error instanceof Error ? error.message : String(error) });
  }
}

globalThis.addEventListener('message', ({ data }: MessageEvent<Request>) => {
  void answer(data);
});
