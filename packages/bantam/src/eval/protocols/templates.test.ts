import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseTemplates, fillTemplate, templateLists } from './templates.js';

describe('templates', () => {
  it('are as many and as distinct as in the papers', () => {
    const sizes = Object.entries(templateLists).map(([name, list]) => [name, new Set(list).size]);
    const expected = { imagenet: 80, 'imagenet-simple': 7, cifar: 18, generic: 4, plain: 1 };
    assert.deepEqual(Object.fromEntries(sizes), expected);
  });

  it('take the class name unchanged', () => {
    assert.equal(
      fillTemplate('a {} and the {}', "$& $1 cat's"),
      "a $& $1 cat's and the $& $1 cat's",
    );
    for (const template of Object.values(templateLists).flat()) {
      assert.match(fillTemplate(template, 'XYZ'), /^[^{}]*XYZ[^{}]*$/);
    }
  });

  it('of CIFAR are those that CLIP used', () => {
    assert.deepEqual(
      chooseTemplates('cifar').filter((template) => template.includes('the')),
      [
        'a photo of the {}.',
        'a blurry photo of the {}.',
        'a black and white photo of the {}.',
        'a low contrast photo of the {}.',
        'a high contrast photo of the {}.',
        'a bad photo of the {}.',
        'a good photo of the {}.',
        'a photo of the small {}.',
        'a photo of the big {}.',
      ],
    );
  });

  it('that cannot be used are refused', () => {
    assert.throws(() => chooseTemplates('imagnet'), /no prompt templates "imagnet".*"imagenet"/);
    assert.throws(() => chooseTemplates(['{} here', 'a cat']), /"a cat" has no \{\}/);
    assert.throws(() => chooseTemplates([]), /at least one prompt template/);
  });
});
