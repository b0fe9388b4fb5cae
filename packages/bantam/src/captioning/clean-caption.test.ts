import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cleanCaption } from './clean-caption.js';

describe('cleanCaption', () => {
  it('takes away what language models put around a caption', () => {
    const answers = [
      'a red circle',
      '  "a red\n circle" ',
      'Caption: a red circle',
      '**Caption:** “a red circle”',
      'Sure! Here is a short caption for the image: "a red circle"',
      "Here's a caption:\n\na red circle",
      '1. a red circle',
      '- "a red circle"',
      '<think>It is round: "Caption". Hm.</think>\na red circle',
      'it is round</think> a red circle',
      'a red circle<|im_end|>',
      '```text\na red circle\n```',
      'Short image description: a red circle',
    ];
    for (const answer of answers) {
      assert.deepEqual(cleanCaption(answer), { text: 'a red circle' }, answer);
    }
  });

  it('leaves captions unchanged that only look alike', () => {
    const captions = [
      'The caption on the wall says: no entry',
      '"Stop" is what the sign says, not "go"',
      '3 dogs and a sign: "Here"',
      "a dog's bowl, 'red'",
      'Here comes the sun. It rises: slowly',
      '2.5 litres of milk',
    ];
    for (const text of captions) assert.deepEqual(cleanCaption(text), { text });
  });

  it('knows answers that are no captions', () => {
    const answers: [string, RegExp][] = [
      ['', /^is empty/],
      [' "" ', /no letters/],
      ['<think>What could it be', /holds no caption/],
      ['1234 !!', /no letters: "1234 !!"/],
      ["I'm sorry, but I can't see images.", /refuses: "I'm sorry/],
      ['I cannot view images.', /refuses/],
      ['1. '.repeat(300_000), /has 899999 characters/],
      ['the dog '.repeat(200), /has 1599 characters, more than a caption: "the dog the/],
    ];
    for (const [answer, reason] of answers) {
      const cleaned = cleanCaption(answer);
      assert.ok('reason' in cleaned, answer);
      assert.match(cleaned.reason, reason);
    }
  });
});
