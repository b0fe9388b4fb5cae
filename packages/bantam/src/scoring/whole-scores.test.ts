import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CounterRng } from '../data/index.js';
import { groupByEmbedding } from './embedding-duplicates.js';
import { negClipLoss } from './neg-clip-loss.js';
import { NormSimTarget } from './norm-sim.js';

const width = 6;

/** Random rows of length 1. */
function unitRows(count: number, seed: number): Float32Array {
  const rng = new CounterRng({ seed, purpose: 'rows', epoch: 0 });
  const rows = Float32Array.from({ length: count * width }, () => rng.normal());
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * width, (i + 1) * width);
    const norm = Math.hypot(...row);
    row.forEach((value, j) => {
      row[j] = value / norm;
    });
  }
  return rows;
}

const row = (rows: Float32Array, i: number): Float32Array =>
  rows.subarray(i * width, (i + 1) * width);
const cosine = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? NaN), 0);

function pairReader(image: Float32Array, text: Float32Array) {
  const gather = (rows: Float32Array, indices: Int32Array): Float32Array =>
    Float32Array.from(Array.from(indices, (i) => [...row(rows, i)]).flat());
  return (indices: Int32Array) => ({ image: gather(image, indices), text: gather(text, indices) });
}

describe('negClipLoss', () => {
  const [image, text] = [unitRows(50, 1), unitRows(50, 2)];
  const temperature = 0.1;

  /** The score of pair i beside the pairs of a batch. */
  function expectedScore(i: number, batch: Iterable<number>): number {
    const [x, y] = [row(image, i), row(text, i)];
    let [ofImage, ofText] = [0, 0];
    for (const j of batch) {
      ofImage += Math.exp(cosine(x, row(text, j)) / temperature);
      ofText += Math.exp(cosine(y, row(image, j)) / temperature);
    }
    return cosine(x, y) - (temperature / 2) * (Math.log(ofImage) + Math.log(ofText));
  }

  async function scoresOf(options: { batchSize: number; repetitions: number; seed: number }) {
    const batches: number[][] = [];
    const read = pairReader(image, text);
    const readPairs = (indices: Int32Array): ReturnType<typeof read> => {
      batches.push([...indices]);
      return read(indices);
    };
    return { scores: await negClipLoss(readPairs, 50, { ...options, temperature }), batches };
  }

  it('is the cosine less half of what both directions of the batch explain', async () => {
    const { scores, batches } = await scoresOf({ batchSize: 50, repetitions: 10, seed: 0 });
    assert.equal(batches.length, 1, 'one division is enough for one batch');
    for (const [i, score] of scores.entries()) {
      const expected = expectedScore(i, Array(50).keys());
      assert.ok(Math.abs(score - expected) < 1e-6, `${score} is not ${expected}`);
    }
  });

  it('averages over random divisions into batches that only the seed decides', async () => {
    const { scores, batches } = await scoresOf({ batchSize: 20, repetitions: 4, seed: 1 });
    assert.deepEqual(
      batches.map(({ length }) => length),
      Array.from({ length: 4 }, () => [16, 17, 17]).flat(),
    );
    for (const [i, score] of scores.entries()) {
      const own = batches.filter((batch) => batch.includes(i));
      assert.equal(own.length, 4);
      const expected = own.reduce((sum, batch) => sum + expectedScore(i, batch) / 4, 0);
      assert.ok(Math.abs(score - expected) < 1e-6, `${score} is not ${expected}`);
    }
    assert.deepEqual(scores, (await scoresOf({ batchSize: 20, repetitions: 4, seed: 1 })).scores);
    assert.notDeepEqual(
      batches,
      (await scoresOf({ batchSize: 20, repetitions: 4, seed: 2 })).batches,
    );
  });
});

describe('NormSimTarget', () => {
  const [target, images] = [unitRows(9, 3), unitRows(5, 4)];
  const cosines = Array.from({ length: 5 }, (_, i) =>
    Array.from({ length: 9 }, (_, t) => cosine(row(images, i), row(target, t))),
  );

  it('gives the norm of the cosines with all target images', () => {
    for (const order of [2, 'inf'] as const) {
      const scorer = new NormSimTarget(target, { width, order });
      for (const [i, score] of scorer.scores(images).entries()) {
        const own = (cosines[i] ?? []).map(Math.abs);
        const expected = order === 2 ? Math.hypot(...own) : Math.max(...own);
        assert.ok(Math.abs(score - expected) < 1e-6, `${score} is not ${expected}`);
      }
      scorer.dispose();
    }
  });

  it('refuses a target without images', () => {
    assert.throws(() => new NormSimTarget(new Float32Array(), { width, order: 2 }), /no images/);
  });
});

describe('groupByEmbedding', () => {
  it('joins each image to the nearest earlier leader, across blocks', async () => {
    const count = 2500;
    const centres = unitRows(40, 5);
    const noise = unitRows(count, 6);
    const rng = new CounterRng({ seed: 7, purpose: 'centres', epoch: 0 });
    const rows = new Float32Array(count * width);
    for (let i = 0; i < count; i++) {
      const centre = row(centres, rng.integer(40));
      const mixed = Array.from(centre, (value, j) => value + 0.2 * (noise[i * width + j] ?? NaN));
      const norm = Math.hypot(...mixed);
      rows.set(
        mixed.map((value) => value / norm),
        i * width,
      );
    }
    const leaders: number[] = [];
    const expected = Array.from({ length: count }, (_, i) => {
      let best = -1;
      let highest = 0.97;
      for (const leader of leaders) {
        const value = cosine(row(rows, i), row(rows, leader));
        if (value >= highest) [best, highest] = [leader, value];
      }
      if (best >= 0) return best;
      leaders.push(i);
      return i;
    });
    const groups = await groupByEmbedding(
      (start, end) => rows.slice(start * width, end * width),
      count,
      { width, cosine: 0.97 },
    );
    assert.ok(leaders.length > 40 && leaders.length < count);
    const differing = expected.filter((leader, i) => leader !== groups[i]).length;
    // Cosines within rounding of the threshold or of each other may fall either way.
    assert.ok(differing <= 3, `${differing} of ${count} differ`);
  });
});
