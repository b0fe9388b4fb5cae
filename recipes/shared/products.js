/** Tables of product photographs with titles, a stated part of them spoiled. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openSource } from 'bantam';
import { uniformOfKey } from 'bantam/experimental';

/**
 * Kinds of spoiled captions with their fractions of the pool.
 *
 * @type {readonly (readonly [kind: string, fraction: number])[]}
 */
export const damage = [
  ['shuffled', 0.2],
  ['cut', 0.1],
  ['replaced', 0.1],
];

/** Captions that say nothing about an image, as shops and cameras write them. */
const boilerplate = [
  'Click to enlarge',
  'Free shipping on all orders',
  'New arrival, best price online',
  'Image coming soon',
  'IMG_0001',
  'product photo front view',
  'Buy now and save',
  'Sold out',
];

/** @param {readonly (readonly string[])[]} rows */
function csv(rows) {
  const quoted = (field) => `"${field.replaceAll('"', '""')}"`;
  return rows.map((row) => `${row.map(quoted).join(',')}\n`).join('');
}

/**
 * @typedef {object} ProductData
 * @property {string} test specification of the test data, with classes
 * @property {string} clean specification of a small part with its own captions
 * @property {string} pool specification of the spoiled pool
 * @property {string} whole specification of the pool with its own captions
 * @property {{ train: string, test: string }} shots the clean part and the test data without the
 * types that have fewer than ten products in the clean part
 * @property {ReadonlyMap<string, string>} kinds kind of each record of the pool: `good`, or one of
 * {@link damage}
 */

/**
 * Splits the products by title (no title is in two parts) into test data (15 %), a clean part (15
 * %) and a pool, and spoils captions of the pool: shuffled among each other, cut to their first
 * word, or replaced by boilerplate. All choices are hashes of keys.
 *
 * @param {string | undefined} folder with captions.csv and attributes.csv (image, articleType),
 * images relative to them
 * @param {string} out
 * @returns {Promise<ProductData>}
 */
export async function productData(folder, out) {
  if (folder === undefined) throw new Error('Name the folder of products with --products DIR.');
  mkdirSync(out, { recursive: true });
  const titles = await openSource(`csv:${join(folder, 'captions.csv')}`);
  const facts = await openSource(
    `csv:${join(folder, 'attributes.csv')}?caption=articleType&label=articleType`,
  );
  const types = new Map(
    Array.from({ length: facts.size }, (_, i) => [facts.record(i).key, facts.record(i).label]),
  );
  const parts = { test: [], clean: [], pool: [] };
  for (let i = 0; i < titles.size; i++) {
    const { key, captions } = titles.record(i);
    const [title] = captions;
    const u = uniformOfKey(title, { seed: 0, purpose: 'products' });
    const part = u < 0.15 ? 'test' : u < 0.3 ? 'clean' : 'pool';
    parts[part].push([resolve(folder, key), title, types.get(key) ?? '']);
  }
  const order = parts.pool.toSorted(
    ([a], [b]) =>
      uniformOfKey(a, { seed: 0, purpose: 'spoil' }) -
      uniformOfKey(b, { seed: 0, purpose: 'spoil' }),
  );
  const kinds = new Map(order.map(([key]) => [key, 'good']));
  const spoiled = new Map();
  let start = 0;
  for (const [kind, fraction] of damage) {
    const rows = order.slice(start, (start += Math.round(fraction * order.length)));
    for (const [i, [key, title]] of rows.entries()) {
      kinds.set(key, kind);
      if (kind === 'shuffled') spoiled.set(key, rows[(i + 1) % rows.length][1]);
      else if (kind === 'cut') spoiled.set(key, title.split(' ')[0]);
      else spoiled.set(key, boilerplate[i % boilerplate.length]);
    }
  }
  const write = (name, rows) => {
    const file = join(out, `${name}.csv`);
    writeFileSync(file, csv([['image', 'caption', 'type'], ...rows]));
    return `csv:${file}`;
  };
  const dirty = parts.pool.map(([key, title, type]) => [key, spoiled.get(key) ?? title, type]);
  const products = new Map();
  for (const [, , type] of parts.clean) products.set(type, (products.get(type) ?? 0) + 1);
  const hasShots = ([, , type]) => type !== '' && (products.get(type) ?? 0) >= 10;
  return {
    test: `${write('test', parts.test)}?label=type`,
    clean: write('clean', parts.clean),
    pool: write('pool', dirty),
    whole: write('whole', parts.pool),
    shots: {
      train: `${write('shots-train', parts.clean.filter(hasShots))}?label=type`,
      test: `${write('shots-test', parts.test.filter(hasShots))}?label=type`,
    },
    kinds,
  };
}

/**
 * The parts of a study of products that its recipes have alike.
 *
 * @param {{ model: string, seeds: string }} values of the command line
 * @param {ProductData} data
 */
export function productStudy({ model, seeds }, { test, shots }) {
  const recalls = ['image', 'text'].flatMap((way) =>
    [1, 10].map((k) => `${way}_retrieval_recall@${k}`),
  );
  return {
    run: {
      model,
      train: { batchSize: 64, lr: 6e-4, workers: 1 },
      tokenizer: { contextLength: 16 },
    },
    seeds: Array.from({ length: Number(seeds) }, (_, seed) => seed),
    measure: [
      { name: 'test', data: test, kind: 'in-distribution', metrics: ['acc1', ...recalls] },
      {
        name: 'few-shot',
        data: shots.test,
        train: shots.train,
        metrics: ['few_shot@5', 'few_shot@10'],
      },
    ],
  };
}
