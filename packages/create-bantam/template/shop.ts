/**
 * A shop search: a CLIP model trained on your products, an index of their images, and a page to search
 * them by a text or by a photograph.
 *
 *     npm run train    trains the model on products.csv
 *     npm start        brings the index up to date and opens the shop at http://localhost:3000
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname } from 'node:path';
import { buildIndex, loadForInference, openSource, serve, train } from 'bantam';

/** A table with the columns image (a path beside the table) and title; other columns can be filtered by. */
const products = 'csv:products.csv?image=image&caption=title';
const model = 'run/model';
const index = 'index';

const [command = 'start', budget = '8m'] = process.argv.slice(2);
if (command === 'train') {
  await train({
    data: products,
    out: 'run',
    budget,
    onEvent: (event) => {
      if (event.kind === 'note') console.log(event.message);
      if (event.kind === 'step' && event.step % 50 === 0) {
        const percent = (100 * event.progress).toFixed(0);
        console.log(`${percent} %, step ${event.step}, loss ${event.loss.toFixed(3)}`);
      }
    },
  });
  console.log('The model is trained; open the shop with: npm start');
} else if (existsSync(model)) {
  await openShop(Number(process.env.PORT ?? 3000));
} else {
  console.error('There is no model yet; train it with: npm run train');
  process.exitCode = 1;
}

/** Indexes what is new, then serves the page, the images and the search. */
async function openShop(port: number): Promise<void> {
  const source = await openSource(products);
  const loaded = await loadForInference(model);
  const { size } = await buildIndex(index, { model: loaded, source });
  loaded.loaded.model.dispose();
  /** Files of the images by their keys: nothing else can be asked for. */
  const files = new Map<string, string>();
  for (let i = 0; i < source.size; i++) {
    files.set(source.record(i).key, source.location(i).path);
  }
  // The search itself: batches, bounds, a process of its own for the model. It answers OpenAI's clients too.
  const search = await serve({ models: { shop: model }, indexes: { products: index }, port: 0 });

  const server = createServer((request, response) => {
    void (async () => {
      const { pathname } = new URL(request.url ?? '/', 'http://localhost');
      if (pathname === '/') {
        response.setHeader('content-type', 'text/html; charset=utf-8').end(page);
      } else if (pathname.startsWith('/images/')) {
        const file = files.get(decoded(pathname.slice('/images/'.length)));
        if (file === undefined) response.writeHead(404).end();
        else {
          const type = types.get(extname(file).toLowerCase()) ?? 'application/octet-stream';
          response.setHeader('content-type', type).end(await readFile(file));
        }
      } else if (pathname === '/search' && request.method === 'POST') {
        const chunks: Buffer[] = [];
        for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
        const answer = await fetch(`${search.url}/v1/search`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: Buffer.concat(chunks),
        });
        response.writeHead(answer.status, { 'content-type': 'application/json' });
        response.end(await answer.text());
      } else {
        response.writeHead(404).end();
      }
    })().catch(() => response.writeHead(500).end());
  });
  server.listen(port, '127.0.0.1', () => {
    console.log(`${size} products: http://localhost:${port}`);
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      server.close();
      void search.stop().then(() => process.exit());
    });
  }
}

/** A part of a path in plain characters; unchanged if it is not encoded as such parts are. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Content types by the endings of image files. */
const types = new Map([
  ['.avif', 'image/avif'],
  ['.gif', 'image/gif'],
  ['.jpeg', 'image/jpeg'],
  ['.jpg', 'image/jpeg'],
  ['.png', 'image/png'],
  ['.svg', 'image/svg+xml'],
  ['.webp', 'image/webp'],
]);

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8" /><title>Shop</title><meta name="viewport" content="width=device-width" />
<style>
  body { font: 16px system-ui; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  form { display: flex; gap: .5rem } input[type=search] { flex: 1; font: inherit; padding: .5rem }
  ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem; padding: 0; list-style: none }
  img { width: 100%; aspect-ratio: 1; object-fit: contain; cursor: pointer }
</style>
<h1>Shop</h1>
<form><input type="search" placeholder="a red summer dress" autofocus /><input type="file" accept="image/*" /></form>
<p>Search by words, by a photograph, or click a product for similar ones.</p><ol></ol>
<script type="module">
  const list = document.querySelector('ol');
  async function find(query) {
    const response = await fetch('/search', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, top_k: 24 }),
    });
    const { data, error } = await response.json();
    document.querySelector('p').textContent = error ? error.message : data.length + ' products';
    list.replaceChildren(...(data ?? []).map(({ key, caption }) => {
      const item = document.createElement('li');
      const image = new Image();
      image.src = '/images/' + encodeURIComponent(key);
      image.alt = caption;
      image.onclick = () => find({ key });
      item.append(image, caption);
      return item;
    }));
  }
  const [words, photo] = document.querySelectorAll('input');
  document.querySelector('form').onsubmit = (event) => {
    event.preventDefault();
    history.replaceState(null, '', '?q=' + encodeURIComponent(words.value));
    find(words.value);
  };
  words.value = new URLSearchParams(location.search).get('q') ?? '';
  if (words.value !== '') find(words.value);
  photo.onchange = () => {
    const reader = new FileReader();
    reader.onload = () => find({ image: reader.result });
    reader.readAsDataURL(photo.files[0]);
  };
</script>
</html>
`;
