import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fixture } from '../test-support/text-fixture.js';
import { loadTokenizer } from './file-tokenizer.js';
import {
  classifyWords,
  indicesBySyntax,
  reductionMethods,
  TextReducer,
  type TextReduction,
  type WordClass,
} from './reduce.js';

type Row = [text: string, length: number, ids: number[]];

const reference = fixture('reduced.json') as {
  vocabulary: Record<string, WordClass>;
  syntax: Row[];
  whole: Row[];
};
const directory = fileURLToPath(new URL('../../fixtures/text/trained', import.meta.url));
const tokenizer = await loadTokenizer(directory, { contextLength: 77 });
const text = 'a photo of the cat and the dog running over red mountains at sunset';

/** Numbers of a linear congruential generator. */
function uniformOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function reducer(method: TextReduction['method'], length: number, of = tokenizer) {
  return new TextReducer({ tokenizer: of, reduction: { method, length } });
}

/** Asserts that `whole` holds the ids of `part` in their order. */
function assertInOrder(part: readonly number[], whole: readonly number[]): void {
  let from = 0;
  for (const id of part) {
    const place = whole.indexOf(id, from);
    assert.ok(place >= 0, `${id} of ${part.join()}`);
    from = place + 1;
  }
}

describe('TextReducer', () => {
  it("keeps the words that OpenCLIP's syntax masking keeps, given their classes", () => {
    for (const [sentence, length, ids] of reference.syntax) {
      const words = sentence.split(' ').filter((word) => word !== '');
      const classes = words.map((word) => reference.vocabulary[word] ?? 'other');
      const kept = indicesBySyntax(classes, length - 2).map((place) => words[place]);
      const own = tokenizer.encode(kept.join(' ')).slice(1, -1);
      assert.deepEqual([ids[0], ...own.slice(0, length - 2), ids.at(-1)], ids, sentence);
    }
  });

  it('gives the ids of OpenCLIP if the word classes agree', () => {
    const alike = reference.syntax.filter(([sentence]) =>
      classifyWords(sentence).every((word) => word.class === reference.vocabulary[word.text]),
    );
    // The tagger takes a word of three of the seven texts for another class than the look-up does.
    assert.deepEqual([reference.syntax.length, alike.length], [21, 12]);
    for (const [sentence, length, ids] of alike) {
      assert.deepEqual(reducer('syntax', length).encode(sentence, uniformOf(1)), ids, sentence);
    }
  });

  for (const method of reductionMethods) {
    it(`keeps texts that fit unchanged: ${method}`, () => {
      for (const [sentence, length, ids] of reference.whole) {
        const never = () => assert.fail('It draws.');
        assert.deepEqual(reducer(method, length).encode(sentence, never), ids);
      }
    });
  }

  it('truncates as a tokenizer of a shorter context does', async () => {
    const short = await loadTokenizer(directory, { contextLength: 9 });
    const ids = reducer('truncate', 9).encode(text, uniformOf(1));
    assert.deepEqual(ids, short.encode(text));
  });

  it('samples every id of a text equally often, in order', () => {
    const whole = tokenizer.encode(text);
    const own = whole.slice(1, -1);
    const random = reducer('random', 8);
    const uniform = uniformOf(7);
    const draws = 4000;
    const counts = new Map<number, number>();
    for (let i = 0; i < draws; i++) {
      const ids = random.encode(text, uniform);
      assert.equal(ids.length, 8);
      assert.deepEqual([ids[0], ids.at(-1)], [tokenizer.sotId, tokenizer.eotId]);
      assertInOrder(ids, whole);
      for (const id of ids.slice(1, -1)) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    const share = 6 / own.length;
    for (const id of new Set(own)) {
      const times = own.filter((other) => other === id).length;
      const error = Math.abs((counts.get(id) ?? 0) / draws / times - share);
      // Five standard deviations of a fraction of so many draws.
      assert.ok(error < 5 * Math.sqrt((share * (1 - share)) / draws), `${id}: ${error}`);
    }
  });

  it('samples every run of a text equally often', () => {
    const own = tokenizer.encode(text).slice(1, -1);
    const block = reducer('block', 8);
    const uniform = uniformOf(3);
    const draws = 4000;
    const counts = new Map<string, number>();
    for (let i = 0; i < draws; i++) {
      const run = block.encode(text, uniform).slice(1, -1).join();
      counts.set(run, (counts.get(run) ?? 0) + 1);
    }
    const runs = own.slice(0, own.length - 5).map((_, start) => own.slice(start, start + 6).join());
    assert.deepEqual([...counts.keys()].sort(), [...new Set(runs)].sort());
    const share = 1 / runs.length;
    for (const [run, count] of counts) {
      const error = Math.abs(count / draws - share);
      assert.ok(error < 5 * Math.sqrt((share * (1 - share)) / draws), `${run}: ${error}`);
    }
  });

  it('ranks nouns before adjectives, verbs and others, and the earlier before the later', () => {
    const { sotId, eotId } = tokenizer;
    const words = (length: number) =>
      tokenizer.decode(reducer('syntax', length).encode(text, uniformOf(1)));
    const ids = reducer('syntax', 5).encode(text, uniformOf(1));
    assert.deepEqual([ids[0], ids.at(-1)], [sotId, eotId]);
    assert.match(words(5), /^photo cat dog/);
    assert.deepEqual(
      classifyWords("My dog can't see two of the neighbour's red cars, it runs quickly").map(
        (word) => `${word.text} ${word.class}`,
      ),
      [
        'My other',
        'dog noun',
        "can't other",
        'see verb',
        'two other',
        'of other',
        'the other',
        "neighbour's noun",
        'red adjective',
        'cars noun',
        'it other',
        'runs verb',
        'quickly other',
      ],
    );
  });

  it('pads a batch to its longest row, and samples each row from its own stream', () => {
    const random = reducer('random', 8);
    const { ids, shape } = random.encodeBatch([text, 'a cat', text], (row) => uniformOf(row + 1));
    assert.deepEqual(shape, [3, 8]);
    const rows = [0, 1, 2].map((row) => Array.from(ids.subarray(8 * row, 8 * row + 8), Number));
    assert.deepEqual(rows[0], random.encode(text, uniformOf(1)));
    const cat = tokenizer.encode('a cat');
    assert.deepEqual(rows[1], [...cat, ...Array<number>(8 - cat.length).fill(tokenizer.padId)]);
    assert.deepEqual(rows[2], random.encode(text, uniformOf(3)));
    assert.notDeepEqual(rows[0], rows[2]);
  });

  for (const kind of ['wordpiece', 'gpt2', 'unigram', 'whitespace']) {
    it(`keeps the special tokens that a tokenizer of another kind has: ${kind}`, async () => {
      const other = await loadTokenizer(
        fileURLToPath(new URL(`../../fixtures/text/kinds/${kind}`, import.meta.url)),
        { contextLength: 77 },
      );
      const whole = other.encode(text);
      const special = other.encode('');
      for (const method of reductionMethods) {
        const ids = reducer(method, 7, other).encode(text, uniformOf(5));
        assert.equal(ids.length, 7, method);
        if (method !== 'syntax') assertInOrder(ids, whole);
        if (special.includes(other.sotId)) assert.equal(ids[0], whole[0], method);
        if (special.includes(other.eotId)) assert.equal(ids.at(-1), whole.at(-1), method);
      }
    });
  }

  it('refuses a length without room for words', () => {
    assert.throws(
      () => reducer('random', 2),
      /A text of 2 ids has no room for words beside 2 special ones/,
    );
  });
});
