/** Tables of photographs with captions, made of a folder with one folder of images per class. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Kinds of the classes of CIFAR-10 (Krizhevsky 2009). */
const kinds = {
  airplane: 'vehicle',
  automobile: 'vehicle',
  bird: 'animal',
  cat: 'animal',
  deer: 'animal',
  dog: 'animal',
  frog: 'animal',
  horse: 'animal',
  ship: 'vehicle',
  truck: 'vehicle',
};

/** Held-out classes: zero-shot classification asks for their kind. */
const heldOut = ['horse', 'truck'];

/** @param {string} name */
function article(name) {
  return /^[aeiou]/.test(name) ? `an ${name}` : `a ${name}`;
}

/** @param {string} name */
function captionsOf(name) {
  const [one, kind] = [article(name), article(kinds[name])];
  return [
    `a photo of ${one}`,
    `a picture of ${one}`,
    `${one}, which is ${kind}`,
    `a small photo of ${kind}`,
    `a photo of ${kind}, ${one}`,
    one,
  ];
}

/** @param {readonly (readonly string[])[]} rows */
function csv(rows) {
  const quoted = (field) => `"${field.replaceAll('"', '""')}"`;
  return rows.map((row) => `${row.map(quoted).join(',')}\n`).join('');
}

/**
 * Writes three tables and gives their specifications: `train`, nine of ten photographs of the other
 * classes; `test`, the others; `heldOut`, every fifth photograph of the held-out classes, labelled
 * `animal` or `vehicle`.
 *
 * @param {string | undefined} folder
 * @param {string} out
 */
export function photoData(folder, out) {
  if (folder === undefined) throw new Error('Name the folder of photographs with --photos DIR.');
  const tables = { train: [], test: [], heldOut: [] };
  for (const name of Object.keys(kinds)) {
    for (const [i, file] of readdirSync(join(folder, name)).sort().entries()) {
      const path = resolve(folder, name, file);
      const row = (label) => [path, JSON.stringify(captionsOf(name)), label];
      if (heldOut.includes(name)) {
        if (i % 5 === 0) tables.heldOut.push([path, `a photo of ${article(kinds[name])}`, kinds[name]]); // prettier-ignore
      } else if (i % 10 === 0) tables.test.push([path, `a photo of ${article(name)}`, name]);
      else tables.train.push(row(name));
    }
  }
  mkdirSync(out, { recursive: true });
  return Object.fromEntries(
    Object.entries(tables).map(([name, rows]) => {
      const file = join(out, `${name}.csv`);
      writeFileSync(file, csv([['image', 'caption', 'label'], ...rows]));
      return [name, `csv:${file}?label=label`];
    }),
  );
}
