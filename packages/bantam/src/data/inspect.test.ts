import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { DataFolder } from '../test-support/data-files.js';
import { inspectSource } from './inspect.js';

let folder: DataFolder;

before(async () => {
  folder = await DataFolder.create();
  await folder.images('a.png', 'b.png');
});

after(() => folder.remove());

describe('inspectSource', () => {
  it('gives numbers, lengths and repeats of captions, and the rest of the images', async () => {
    const path = await folder.write({
      'pairs.csv':
        'image,caption\na.png,one\nb.png,two words\na.png,one\nc.png,a caption of five words\n',
    });
    const summary = await inspectSource(await folder.open(`csv:${path}`));
    assert.equal(summary.records, 3);
    assert.deepEqual(summary.captions, {
      count: 4,
      characters: { min: 3, median: 3, max: 23 },
      words: { min: 1, median: 1, max: 5 },
      duplicates: 1,
    });
    const { decoded, broken, compared, duplicates } = summary.images;
    assert.deepEqual([decoded, broken.length, compared, duplicates], [2, 1, 2, 1]);
  });

  it('counts tokens, and the captions that fill the context', async () => {
    const path = await folder.write({
      'long.csv': 'image,caption\na.png,one two\nb.png,one two three four five\n',
    });
    const tokenizer = {
      contextLength: 4,
      encode: (text: string) => text.split(' ').slice(0, 4).map(Number),
    };
    const { captions } = await inspectSource(await folder.open(`csv:${path}`), { tokenizer });
    assert.deepEqual(captions.tokens, { min: 2, median: 2, max: 4, context: 4, full: 1 });
  });
});
