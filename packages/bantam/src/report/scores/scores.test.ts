import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openSource, readScores, SourceDigest, type Source } from '../../data/index.js';
import { writeImages } from '../../test-support/image-folders.js';
import { binsOf } from '../histogram.js';
import { gatherScores, type ScorePageData } from './gather-scores.js';
import { renderScores } from './render-scores.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-scores-'));
let source: Source;
let data: ScorePageData;
after(() => {
  rmSync(folder, { recursive: true });
});

before(async () => {
  await writeImages(join(folder, 'images'), 5);
  source = await openSource(`folder:${join(folder, 'images')}`);
  const digest = new SourceDigest();
  const rows = Array.from({ length: source.size }, (_, i) => {
    const record = source.record(i);
    digest.add(record);
    const phash = (i < 3 ? 0 : 0x1111_0000 + i * 0x0101).toString(16).padStart(16, String(i % 10));
    return {
      ...{
        key: record.key,
        words: 3 + (i % 4),
        similarity: i / 10,
        language: i < 15 ? 'en' : 'de',
      },
      ...{ negCLIPLoss: i === 4 ? undefined : -i, phash: i < 3 ? '0'.repeat(16) : phash },
    };
  });
  const header = { bantam: 'scores', format: 1, data: source.spec, records: source.size };
  const first = { ...header, digest: digest.value, scores: [], settings: { model: '<m>', weights: 'abc' } }; // prettier-ignore
  writeFileSync(
    join(folder, 'scores.jsonl'),
    [first, ...rows].map((line) => `${JSON.stringify(line)}\n`).join(''),
  );
  data = await gatherScores(source, { '': await readScores(join(folder, 'scores.jsonl')) });
});

describe('gatherScores', () => {
  it('shows scores of models in bands of a fifth, the highest first', () => {
    const [similarity, negative, words] = data.scores;
    assert.deepEqual([similarity?.name, negative?.name, words?.name], ['similarity', 'negCLIPLoss', 'words']); // prettier-ignore
    assert.deepEqual(
      similarity?.bands.map(({ high, low, records }) => [high, low, records]),
      [
        [1.9, 1.6, 4],
        [1.5, 1.2, 4],
        [1.1, 0.8, 4],
        [0.7, 0.4, 4],
        [0.3, 0, 4],
      ],
    );
    assert.equal(similarity.bands[0]?.examples.length, 4);
    assert.equal(negative?.values.length, 19);
    assert.deepEqual(words?.bands, []);
  });

  it('groups duplicates, counts texts, and correlates scores', () => {
    const [phash] = data.duplicates;
    assert.ok((phash?.duplicates ?? 0) >= 2);
    assert.ok((phash?.examples[0]?.size ?? 0) >= 3);
    assert.deepEqual(data.texts, [{ name: 'language', counts: [['en', 15], ['de', 5]] }]); // prettier-ignore
    assert.ok(Math.abs((data.agreements[0]?.correlation ?? NaN) + 1) < 1e-12);
  });

  it('refuses a score that has no order', async () => {
    const tables = { '': await readScores(join(folder, 'scores.jsonl')) };
    await assert.rejects(
      gatherScores(source, tables, { show: ['language'] }),
      /The score "language" is a text and has no histogram/,
    );
  });
});

describe('renderScores', () => {
  it('is one page that fetches nothing, with everything escaped', () => {
    const page = renderScores(data);
    assert.match(page, /^<!doctype html>/);
    assert.doesNotMatch(page, /<(script|link)|src="(?!data:)|<m>/);
    assert.match(page, /&lt;m&gt; \(weights abc\)/);
    assert.match(page, /removed by keeping the top 80 %/);
    assert.equal(page.match(/<svg/g)?.length, 3);
  });
});

describe('binsOf', () => {
  it('counts whole numbers one by one, others in bins of equal width', () => {
    assert.deepEqual(binsOf([3, 3, 5, NaN], 10), { counts: [2, 0, 1], low: 2.5, high: 5.5 });
    assert.deepEqual(binsOf([0, 0.1, 0.5, 1], 2), { counts: [2, 2], low: 0, high: 1 });
    assert.deepEqual(binsOf([], 3).counts.length, 2);
  });
});
