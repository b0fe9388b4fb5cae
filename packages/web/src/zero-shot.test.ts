import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromTypedArray } from '@bantam/torch';
import { classifierWeights } from 'bantam/experimental';
import { labelVectors, scoreLabels } from './zero-shot.js';
import { dot, normalized } from './vectors.js';

/** Some vector for each text. */
const encode = (texts: readonly string[]): Promise<Float32Array[]> =>
  Promise.resolve(
    texts.map((text) =>
      normalized(
        Array.from({ length: 6 }, (_, i) =>
          Math.sin(text.length + text.charCodeAt(i % text.length)),
        ),
      ),
    ),
  );

describe('labelVectors', () => {
  it("equals Bantam's classifier", async () => {
    const labels = ['red apple', 'banana', 'grape'];
    const templates = ['a photo of a {}.', '{}', 'the {} here'];
    const vectors = await labelVectors(encode, labels, templates);
    const prompts = await encode(
      labels.flatMap((label) => templates.map((template) => template.replace('{}', label))),
    );
    const rows = Float32Array.from(prompts.flatMap((row) => [...row]));
    using features = fromTypedArray(rows, { shape: [3, 3, 6] });
    using weights = classifierWeights(features);
    const expected = weights.toTypedArray() as Float32Array;
    for (const [i, value] of vectors.flatMap((vector) => [...vector]).entries()) {
      assert.ok(Math.abs(value - Number(expected[i])) < 1e-6);
    }
  });

  it('refuses templates without {}', async () => {
    await assert.rejects(labelVectors(encode, ['a'], ['a photo']), /has no \{\}/);
  });
});

describe('scoreLabels', () => {
  const image = normalized([1, 2, 3]);
  const vectors = [normalized([3, 2, 1]), normalized([1, 2, 3]), normalized([-1, 0, 0])];
  const labels = ['far', 'same', 'opposite'];

  it('gives the softmax of scaled cosines, best first', () => {
    const scores = scoreLabels(image, labels, vectors, {
      activation: 'softmax',
      scale: 10,
      bias: null,
    });
    assert.deepEqual(
      scores.map(({ label }) => label),
      ['same', 'far', 'opposite'],
    );
    const powers = vectors.map((vector) => Math.exp(10 * dot(image, vector)));
    const total = powers.reduce((sum, power) => sum + power);
    assert.ok(Math.abs(Number(scores[0]?.probability) - Number(powers[1]) / total) < 1e-9);
  });

  it('with sigmoid judges each label alone', () => {
    const scores = scoreLabels(image, labels, vectors, {
      activation: 'sigmoid',
      scale: 10,
      bias: -10,
    });
    assert.ok(Math.abs(Number(scores[0]?.probability) - 0.5) < 1e-5);
    assert.ok(Number(scores[2]?.probability) < 1e-4);
  });
});
