/** The page: a search over the images of an index and those that are dropped on it. */
import { at } from 'bantam/portable';
import type { DownloadProgress } from '../fetch-files.js';
import { Client } from './client.js';
import { takeImages } from './drop.js';
import { byId, element } from './elements.js';
import { OwnImages } from './own-images.js';
import type { IndexItem, Opened, PageConfig } from './protocol.js';
import { Results, type Shown } from './results.js';

/** Images that a search shows. */
const k = 24;

const status = byId('status', HTMLParagraphElement);
const progress = byId('download', HTMLProgressElement);
const query = byId('query', HTMLInputElement);
const likeRow = byId('like', HTMLParagraphElement);
const base = document.baseURI;

async function readJson<T>(path: string): Promise<T> {
  const response = await fetch(new URL(path, base));
  if (!response.ok) throw new Error(`${path} is missing; serve the whole folder.`);
  return (await response.json()) as T;
}

function say(text: string, { failed = false } = {}): void {
  status.textContent = text;
  status.classList.toggle('failed', failed);
}

function fail(error: unknown): void {
  progress.hidden = true;
  say(error instanceof Error ? error.message : String(error), { failed: true });
}

function showDownload({ file, received, total }: DownloadProgress): void {
  const isDone = received === total;
  progress.hidden = isDone;
  progress.max = total ?? received;
  if (total !== undefined) progress.value = received;
  if (!isDone) say(`Loading ${file}: ${(received / 1e6).toFixed(1)} MB …`);
}

function describeRuntime({ backend, threads, isolated, dtype }: Opened): string {
  if (backend === 'webgpu')
    return `Computed on this device by ONNX Runtime on its GPU (WebGPU, ${dtype}).`;
  const many = threads === 1 ? 'one thread' : `${threads} threads`;
  const reason = isolated
    ? ''
    : ' More threads need a cross-origin isolated page: serve it with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.';
  return `Computed on this device by ONNX Runtime (WebAssembly, ${many}, ${dtype}).${reason}`;
}

function showLicences(licences: PageConfig['licences']): void {
  byId('licences', HTMLDetailsElement).hidden = licences.length === 0;
  const lines = licences.map(({ part, licence, attribution }) =>
    element('li', { textContent: `${part}: ${attribution} (${licence})` }),
  );
  byId('licence-list', HTMLUListElement).replaceChildren(...lines);
}

async function start(): Promise<void> {
  const config = await readJson<PageConfig>('page.json');
  document.title = config.title;
  byId('title', HTMLHeadingElement).textContent = config.title;
  showLicences(config.licences);
  const worker = new Worker(new URL('worker.js', base), { type: 'module' });
  const client = new Client(worker, showDownload);
  const opening = client.call('open', { config, base });
  const items = config.index === null ? [] : await readJson<IndexItem[]>(config.index.items);
  const shown: Shown[] = items.map(({ caption, image }) => ({ name: caption, image }));

  let like: number | undefined;
  let searches = 0;
  const search = async (): Promise<void> => {
    const text = query.value.trim();
    const number = ++searches;
    if (text === '' && like === undefined) {
      results.showFirst(k);
      return;
    }
    say('Searching …');
    const begun = performance.now();
    const found = await client.call('search', {
      k,
      ...(text !== '' && { text }),
      ...(like !== undefined && { like }),
    });
    // An answer to what was typed before is not shown any more.
    if (number !== searches) return;
    results.show(found, text);
    progress.hidden = true;
    say(`Found in ${Math.round(performance.now() - begun)} ms`);
  };
  const setLike = (image: number | undefined): void => {
    like = image;
    likeRow.hidden = image === undefined;
    if (image !== undefined) {
      byId('like-name', HTMLSpanElement).textContent = `Similar to: ${at(shown, image).name} `;
    }
    search().catch(fail);
  };
  const results = new Results({ shown, onLike: setLike });
  const own = new OwnImages({
    labels: config.labels,
    classify: (image, labels) => client.call('classify', { image, labels }),
    onLike: setLike,
  });
  results.showFirst(k);

  byId('like-clear', HTMLButtonElement).addEventListener('click', () => {
    setLike(undefined);
    query.focus();
  });
  let typing: ReturnType<typeof setTimeout> | undefined;
  query.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => void search().catch(fail), 200);
  });
  byId('search', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    clearTimeout(typing);
    search().catch(fail);
  });
  takeImages(async (file) => {
    const image = URL.createObjectURL(file);
    const card = own.add({ name: file.name, image });
    try {
      const number = await client.call('add', file);
      shown[number] = { name: file.name, image };
      await card.done(number);
      await search();
    } catch (error) {
      card.failed(error instanceof Error ? error.message : String(error));
    }
  });

  // Somebody may have typed while the page was loading.
  if (query.value.trim() !== '') search().catch(fail);
  const opened = await opening;
  byId('runtime', HTMLParagraphElement).textContent = describeRuntime(opened);
  if (searches === 0) say('Ready');
}

start().catch(fail);
