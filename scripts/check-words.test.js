import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { forbiddenUses } from './check-words.js';

const found = (/** @type {string} */ text, path = 'file.ts') =>
  forbiddenUses(text, path).map((use) => `${use.line} ${use.found}`);

describe('forbiddenUses', () => {
  it('finds a word in a comment', () => {
    assert.deepEqual(found('const a = 1;\n/** Decodes a picture. */'), ['2 picture']);
  });

  it('finds a word in a help text', () => {
    assert.deepEqual(found(".description('find the pictures that fit a text')"), ['1 pictures']);
  });

  it('finds a word in a document', () => {
    assert.deepEqual(found('# Data\n\nA picture and its caption.', 'docs/data.md'), ['3 picture']);
  });

  it('finds a word within a name, and in the name of a file', () => {
    assert.deepEqual(found('export function pictureOf() {}'), ['1 picture']);
    assert.deepEqual(found('int picture_size = 3;', 'a.cc'), ['1 picture']);
    assert.deepEqual(found('', 'docs/pictures/a.svg'), ['0 pictures']);
  });

  it('finds a phrase that a comment breaks into two lines', () => {
    assert.deepEqual(found('/**\n * A run goes on\n * with its data.\n */'), ['2 goes on * with']);
  });

  it('finds the opening of a comment, but not the same word within it', () => {
    assert.deepEqual(found('/** Whether it is open. */'), ['1 /** Whether']);
    assert.deepEqual(found('  // Where it is.'), ['1 // Where']);
    assert.deepEqual(found('/** Knows whether it is open. */'), []);
  });

  it('passes the field’s words', () => {
    assert.deepEqual(found('/** Decodes an image; workers share memory; an edge case. */'), []);
  });
});
