import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { NoteBook, readClassNames, readPrompts, type LabelSet } from '../data/index.js';
import { DataFolder } from '../test-support/data-files.js';
import { classPrompts, withClasses } from './own-prompts.js';

let folder: DataFolder;

before(async () => {
  folder = await DataFolder.create();
});

after(() => folder.remove());

const labelSet = (...classes: string[]): LabelSet => ({
  ...{ classes, templates: ['{}'] },
  labels: Int32Array.from([...classes.keys(), -1]),
});

describe('withClasses', () => {
  it('finds the classes of the data in a longer list by name', () => {
    const found = withClasses(labelSet('cat', 'guinea_pig'), ['Dog', 'Guinea Pig', 'Cat']);
    assert.deepEqual(found.classes, ['Dog', 'Guinea Pig', 'Cat']);
    assert.deepEqual([...found.labels], [2, 1, -1]);
  });

  it('counts in the list where the data have numbers', () => {
    const found = withClasses(labelSet('0', '10', '2'), 'a b c d e f g h i j k'.split(' '));
    assert.deepEqual([...found.labels], [0, 10, 2, -1]);
  });

  it('takes as many names in the order of the data', () => {
    const found = withClasses(labelSet('n01440764', 'n01443537'), ['tench', 'goldfish']);
    assert.deepEqual([...found.labels], [0, 1, -1]);
  });

  it('refuses a list that lacks classes of the data', () => {
    assert.throws(
      () => withClasses(labelSet('cat', 'dogg'), ['cat', 'dog', 'cow']),
      /1 of the 2 classes .* not in the list of 3 classes: "dogg" \(did you mean "dog"\?\)/,
    );
    assert.throws(() => withClasses(labelSet('0', '3'), ['cat', 'dog', 'cow']), /"3"/);
  });
});

describe('classPrompts', () => {
  it('fills templates, by their list or given', () => {
    assert.deepEqual(classPrompts(['cat'], ['a {}.', '{}']), [['a cat.', 'cat']]);
    assert.equal(classPrompts(['cat', 'dog'], 'imagenet')[1]?.length, 80);
    assert.throws(() => classPrompts(['cat'], 'imagnet'), /no prompt templates "imagnet"/);
  });

  it('takes prompts of single classes, whatever their number', () => {
    const prompts = new Map([
      ['Guinea pig', ['A small rodent.', 'a {}']],
      ['cat', ['It has whiskers.']],
    ]);
    assert.deepEqual(classPrompts(['cat', 'guinea_pig'], prompts), [
      ['It has whiskers.'],
      ['A small rodent.', 'a guinea_pig'],
    ]);
    assert.throws(
      () => classPrompts(['cat', 'dog'], prompts),
      /1 of 2 classes have no prompts, such as "dog"/,
    );
  });
});

describe('Files of classes and prompts', () => {
  const notes = new NoteBook();

  it('are lines or JSON lists', async () => {
    const text = await folder.write({ 'classes.txt': '\ufeffcat\r\nguinea pig\r\n' });
    assert.deepEqual(await readClassNames(text, notes), ['cat', 'guinea pig']);
    const json = await folder.write({ 'classes.json': '["cat", "guinea pig"]' });
    assert.deepEqual(await readClassNames(json, notes), ['cat', 'guinea pig']);
    const prompts = await folder.write({ 'prompts.txt': 'a photo of a {c}.\n{}\n\n' });
    assert.deepEqual(await readPrompts(prompts), ['a photo of a {}.', '{}']);
  });

  it('hold the prompts of each class as a JSON object', async () => {
    const path = await folder.write({
      'cupl.json': '{"tench": ["A fish.", "{}"], "dog": ["Barks."]}',
    });
    assert.deepEqual(
      await readPrompts(path),
      new Map([
        ['tench', ['A fish.', '{}']],
        ['dog', ['Barks.']],
      ]),
    );
  });

  it('are refused with the reason', async () => {
    const refused = async (name: string, content: string, read: typeof readPrompts) =>
      read(await folder.write({ [name]: content })).then(
        () => assert.fail('it was read'),
        (error: unknown) => (error as Error).message,
      );
    assert.match(await refused('a.txt', 'a cat\n', readPrompts), /hold "a cat" without \{c\}/);
    assert.match(
      await refused('b.json', '{"cat": []}', readPrompts),
      /class "cat" .* has no prompts/,
    );
    assert.match(await refused('c.json', '{"cat": ', readPrompts), /is not JSON/);
    assert.match(await refused('d.json', '[1]', readPrompts), /not a JSON list of texts/);
    await assert.rejects(
      readClassNames('/nowhere.txt', notes),
      /cannot be read \(no such file or folder\)/,
    );
  });
});
