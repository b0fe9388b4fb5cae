import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { mcnemar } from '../statistics/paired-tests.js';
import type { Hits } from '../tasks/dataset-context.js';
import { compareHits } from './compare-hits.js';
import { compareAnswers } from './compare-models.js';
import { formatComparisons } from './format.js';
import { readAnswers, writeAnswers } from './hits-file.js';

const directory = mkdtempSync(join(tmpdir(), 'bantam-compare-'));
after(() => {
  rmSync(directory, { recursive: true });
});

/** Answers where the first `right` of `count` images are classified right. */
function answers(right: number, count = 200): Hits {
  const keys = Array.from({ length: count }, (_, i) => `${i}.png`);
  return {
    dataset: 'test',
    task: 'zero-shot',
    metric: 'acc1',
    labels: 'label',
    keys,
    hits: Uint8Array.from(keys, (_, i) => (i < right ? 1 : 0)),
    answers: keys.map((_, i) => (i < right ? 'cat' : 'dog')),
    truths: keys.map(() => 'cat'),
  };
}

describe('compareHits', () => {
  it('says that a large difference is one, and shows where', () => {
    const found = compareHits(answers(80), answers(110));
    assert.deepEqual(found.values, [0.4, 0.55]);
    assert.deepEqual([found.onlyFirst, found.onlySecond], [0, 30]);
    assert.equal(found.pValue, mcnemar(0, 30).pValue);
    assert.ok(Math.abs(found.difference - 0.15) < 1e-12);
    assert.ok(found.interval[0] > 0.09 && found.interval[1] < 0.21);
    assert.equal(found.differs, true);
    assert.deepEqual(found.secondRight[0], {
      key: '80.png',
      truth: 'cat',
      answers: ['dog', 'cat'],
    });
    assert.equal(found.secondRight.length, 12);
    const text = formatComparisons([found], ['a', 'b']);
    assert.match(
      text,
      /b is better than a by 15\.0 points of top-1 accuracy: 95 % interval of the\n {2}difference/,
    );
    assert.match(text, /right with b alone, such as:\n {4}80\.png: cat; a says dog/);
  });

  it('gives the interval of the better less the worse, whichever is first', () => {
    const found = compareHits(answers(110), answers(80));
    const [low, high] = found.interval;
    const points = (fraction: number) => (100 * fraction).toFixed(1);
    assert.ok(
      formatComparisons([found], ['a', 'b'])
        .replaceAll('\n  ', ' ')
        .includes(
          `a is better than b by 15.0 points of top-1 accuracy: 95 % interval of the difference ${points(-high)}–${points(-low)},`,
        ),
    );
  });

  it('does not claim a small one, nor any between equal answers', () => {
    const small = compareHits(answers(80), answers(83));
    assert.equal(small.differs, false);
    assert.match(
      formatComparisons([small], ['a', 'b']),
      /No difference in top-1 accuracy is shown/,
    );
    const none = compareHits(answers(80), answers(80));
    assert.deepEqual([none.differs, none.pValue, none.difference], [false, 1, 0]);
  });

  it('counts images, not captions, where items share an image', () => {
    const five = (hits: Hits): Hits => ({
      ...hits,
      keys: hits.keys.flatMap((key) => Array.from({ length: 5 }, () => key)),
      hits: Uint8Array.from([...hits.hits].flatMap((hit) => Array.from({ length: 5 }, () => hit))),
      answers: [],
      truths: [],
    });
    const apart = compareHits(answers(80), answers(84));
    const shared = compareHits(five(answers(80)), five(answers(84)));
    assert.deepEqual([shared.items, shared.images], [1000, 200]);
    assert.deepEqual(shared.interval, apart.interval);
    assert.ok(shared.pValue < 0.05);
    assert.equal(shared.differs, shared.interval[0] > 0);
  });

  it('refuses answers of different data', () => {
    assert.throws(() => compareHits(answers(3), answers(3, 100)), /of different data: 200 items/);
    const other = { ...answers(3), dataset: 'other' };
    assert.throws(() => compareAnswers([answers(3)], [other]), /no answers for "test"/);
  });
});

describe('answers in files', () => {
  it('are read as they were written', async () => {
    const path = join(directory, 'a.json');
    writeAnswers(path, { model: 'runs/a', answers: [answers(7)] });
    const { model, answers: read } = await readAnswers(path);
    assert.equal(model, 'runs/a');
    assert.deepEqual(read, [answers(7)]);
  });

  it('are refused if they are none', async () => {
    const path = join(directory, 'b.json');
    writeFileSync(path, '{}');
    await assert.rejects(readAnswers(path), /holds no answers of a model/);
    await assert.rejects(readAnswers(join(directory, 'c.json')), /no such file or folder/);
  });
});
