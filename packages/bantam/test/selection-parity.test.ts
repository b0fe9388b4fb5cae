import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  captionProbabilities,
  decodeImage,
  EntryMatcher,
  perceptualHash,
  topFraction,
} from '../dist/data/index.js';

const fixtures = new URL('../fixtures/', import.meta.url);
const file = (name: string): Buffer => readFileSync(fileURLToPath(new URL(name, fixtures)));

interface Fixture {
  readonly phash: Readonly<Record<string, { bicubic: string; lanczos: string }>>;
  readonly dataComp: {
    readonly scores: readonly number[];
    readonly kept: Readonly<Record<string, readonly number[]>>;
  };
  readonly metaClip: {
    readonly captions: readonly (readonly string[])[];
    readonly entries: readonly string[];
    readonly t: number;
    readonly counts: readonly number[];
    readonly entryProbabilities: readonly number[];
    readonly probabilities: readonly number[];
  };
}

const { phash, dataComp, metaClip } = JSON.parse(
  file('selection.json').toString('utf8'),
) as Fixture;

describe('perceptualHash', () => {
  it("equals imagehash's phash with a bicubic filter, and differs in few bits with Lanczos'", async () => {
    for (const [name, { bicubic, lanczos }] of Object.entries(phash)) {
      const hash = perceptualHash(await decodeImage(file(`data/${name}.jpg`)));
      assert.equal(hash, bicubic, name);
      const differing = (BigInt(`0x${hash}`) ^ BigInt(`0x${lanczos}`)).toString(2);
      assert.ok(differing.replaceAll('0', '').length <= 4, `${name}: ${differing}`);
    }
  });
});

describe('topFraction with ties: keep', () => {
  it("keeps the records that DataComp's filter keeps", () => {
    const scores = Float64Array.from(dataComp.scores);
    const keys = Array.from(scores, (_, i) => `k${i}`);
    for (const [fraction, kept] of Object.entries(dataComp.kept)) {
      const mask = topFraction(scores, { keys, fraction: Number(fraction), ties: 'keep' });
      assert.deepEqual([...mask.keys()].filter((i) => mask[i] === 1), kept); // prettier-ignore
      assert.ok(kept.length > Number(fraction) * 500, 'the fixture has ties at the cut');
    }
  });
});

describe('captionProbabilities', () => {
  it("equals MetaCLIP's counts and probabilities", () => {
    const matcher = new EntryMatcher(metaClip.entries);
    const result = captionProbabilities(metaClip.captions, { matcher, t: metaClip.t });
    assert.deepEqual([...result.counts], metaClip.counts);
    assert.deepEqual([...result.entryProbabilities], metaClip.entryProbabilities);
    for (const [i, probability] of result.probabilities.entries()) {
      const expected = metaClip.probabilities[i] ?? NaN;
      assert.ok(Math.abs(probability - expected) < 1e-12, `${probability} is not ${expected}`);
    }
  });
});
