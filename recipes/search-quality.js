/**
 * How well "not that", weights of texts with images, and cut-offs do, on an index of a table whose columns
 * tell right from wrong.
 *
 *     node recipes/search-quality.js --index FOLDER --model NAME --kind article --trait colour
 *
 * For the most frequent pairs of a value of --kind and one of --trait it searches for the kind's name, and counts
 * among the ten best the images of that kind, and those of that kind with the trait to avoid: without "not that",
 * and with it at several weights. Then it searches by an image of the kind with that trait and a text
 * that asks for another trait, at several weights of the text. Last, it takes the captions of half of the
 * records as queries: the fraction of images of other captions that pass the cut-off of each rate, and of
 * the images that the captions belong to.
 */
import './shared/one-sentence.js';
import { parseArgs } from 'node:util';
import { encodeTexts, loadForInference } from 'bantam';
import { identifyModel, openFolderStore, openIndex } from 'bantam/experimental';

const { values } = parseArgs({
  options: {
    index: { type: 'string' },
    model: { type: 'string' },
    kind: { type: 'string' },
    trait: { type: 'string' },
    pairs: { type: 'string', default: '40' },
  },
});
const { index: path, model: name, kind, trait } = values;
if ([path, name, kind, trait].includes(undefined)) throw new Error('See the top of this file.');

const model = await loadForInference(name);
const index = await openIndex(path, { exact: true });
const { hash } = await identifyModel(model);
const store = await openFolderStore(path);
const records = [...store.records()].map(([row, record]) => ({ row, ...record }));

const encode = async (texts) => {
  const features = await encodeTexts(model.loaded, texts, { precision: model.precision });
  const rows = features.toTypedArray();
  const width = features.dim(1);
  return texts.map((_, i) => rows.slice(i * width, (i + 1) * width));
};
const rowsOf = store.images.toTypedArray();
const vectorOf = (row) => rowsOf.subarray(row * index.width, (row + 1) * index.width);

/** The most frequent pairs of kind and trait, where the kind has other traits as well. */
function frequentPairs(count) {
  const counts = new Map();
  for (const { meta } of records) {
    const pair = JSON.stringify([meta[kind], meta[trait]]);
    counts.set(pair, (counts.get(pair) ?? 0) + 1);
  }
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, count)
    .map(([pair]) => JSON.parse(pair));
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;
const pairs = frequentPairs(Number(values.pairs));

console.log(`not that: ten best for a ${kind}, not of a ${trait}; ${pairs.length} queries`);
for (const weight of [0, 0.25, 0.5, 0.75, 1, 1.5]) {
  let right = 0;
  let avoided = 0;
  for (const [wanted, unwanted] of pairs) {
    const [positive, negative] = await encode([wanted, `${unwanted} ${wanted}`]);
    const parts = [{ kind: 'text', vector: positive }];
    if (weight > 0) parts.push({ kind: 'text', vector: negative, weight: -weight });
    const [hits] = await index.search({ queries: [parts], k: 10, model: hash });
    for (const { row } of hits) {
      const { meta } = index.record(row);
      if (meta[kind] !== wanted) continue;
      right++;
      if (meta[trait] === unwanted) avoided++;
    }
  }
  const total = 10 * pairs.length;
  console.log(
    `  weight ${weight}: ${percent(right / total)} of the kind, ${percent(avoided / total)} with the trait, ${percent((right - avoided) / total)} right`,
  );
}

console.log(`image and text: an image of a ${kind} with one ${trait}, and the text of another`);
for (const weight of [0, 0.25, 0.5, 1, 2, 4]) {
  let total = 0;
  let right = 0;
  let ofKind = 0;
  for (const [wanted, own] of pairs) {
    const other = pairs.find(([a, b]) => a === wanted && b !== own)?.[1];
    const example = records.find(({ meta }) => meta[kind] === wanted && meta[trait] === own);
    if (other === undefined || example === undefined) continue;
    const [text] = await encode([`${other} ${wanted}`]);
    const parts = [{ kind: 'image', vector: vectorOf(example.row) }];
    if (weight > 0) parts.push({ kind: 'text', vector: text, weight });
    const [hits] = await index.search({ queries: [parts], k: 10, model: hash });
    for (const { row } of hits) {
      const { meta } = index.record(row);
      total++;
      if (meta[kind] !== wanted) continue;
      ofKind++;
      if (meta[trait] === other) right++;
    }
  }
  console.log(
    `  weight of the text ${weight}: ${percent(ofKind / total)} of the kind, ${percent(right / total)} with the text's ${trait}`,
  );
}

console.log('cut-offs: the captions of every second record as queries');
const queries = records.filter((_, i) => i % 2 === 1 && i < 2000);
const vectors = await encode(queries.map(({ caption }) => caption));
for (const rate of [0.1, 0.03, 0.01, 0.003, 0.001, 0.0003]) {
  const cutoff = index.cutoff([{ kind: 'text', vector: vectors[0] }], rate);
  let [passed, others, found] = [0, 0, 0];
  for (const [i, { row: own, caption }] of queries.entries()) {
    for (const { row, caption: theirs } of records) {
      let score = 0;
      for (let d = 0; d < index.width; d++) score += vectors[i][d] * rowsOf[row * index.width + d];
      if (row === own) found += score >= cutoff ? 1 : 0;
      else if (theirs !== caption) {
        others++;
        passed += score >= cutoff ? 1 : 0;
      }
    }
  }
  console.log(
    `  rate ${rate}: cosine ${cutoff.toFixed(3)}; ${((100 * passed) / others).toFixed(3)} % of other images pass, ${percent(found / queries.length)} of their own`,
  );
}
index.dispose();
store.close();
