import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eye, loadSafetensors, tensor, type Tensor } from '@bantam/torch';
import { rankPositives } from './ranks.js';
import { retrieval } from './retrieval.js';

interface Case {
  metrics: Record<string, number>;
  trainer?: Record<string, number>;
}

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../fixtures/eval/${name}`, import.meta.url));
const { tensors } = loadSafetensors(fixture('retrieval.safetensors'));
const expected = JSON.parse(readFileSync(fixture('retrieval.json'), 'utf8')) as Record<
  string,
  Case
>;

function stored(name: string): Tensor {
  const found = tensors.get(name);
  assert.ok(found, `the fixture has ${name}`);
  return found;
}

/** Features and positives of a case; where it stores similarities, texts are unit vectors. */
function inputs(name: string) {
  const owners = stored(`${name}.text_image`).toArray();
  const similarity = tensors.get(`${name}.similarity`);
  const image = similarity ?? stored(`${name}.image_features`);
  const text = similarity ? eye(owners.length) : stored(`${name}.text_features`);
  const textsOf = Array.from({ length: image.dim(0) }, (_, item) =>
    [...owners.keys()].filter((row) => owners[row] === item),
  );
  return { image, text, textsOf, imagesOf: owners.map((owner) => [owner]) };
}

describe('retrieval', () => {
  for (const [name, { metrics }] of Object.entries(expected)) {
    for (const maxScores of [2 ** 22, 50]) {
      it(`equals the reference: ${name}, ${maxScores} scores at a time`, () => {
        const { image, text, textsOf, imagesOf } = inputs(name);
        const options = { maxScores };
        const forImage = rankPositives(image, text, textsOf, options).positive;
        assert.deepEqual([...forImage], stored(`${name}.text_rank`).toArray());
        const forText = rankPositives(text, image, imagesOf, options).positive;
        assert.deepEqual([...forText], stored(`${name}.image_rank`).toArray());
        const result = retrieval({ image, text, textsOf, ...options });
        for (const [metric, value] of Object.entries(metrics)) {
          const own = result.metrics[metric] ?? NaN;
          assert.ok(Math.abs(own - value) < 1e-12, `${metric}: ${own} is not ${value}`);
        }
      });
    }
  }

  it("has the median rank of OpenCLIP's trainer", () => {
    const { metrics } = retrieval(inputs('pairs'));
    const { trainer = {} } = expected.pairs ?? {};
    assert.equal(metrics.text_retrieval_median_rank, trainer.image_to_text_median_rank);
    assert.equal(metrics.image_retrieval_median_rank, trainer.text_to_image_median_rank);
  });

  it('asks with no image that has no texts, and keeps it among the images', () => {
    const image = tensor([
      [1, 0],
      [0, 1],
      [1, 0],
    ]);
    const { metrics, textRanks } = retrieval({ image, text: eye(2), textsOf: [[], [1], [0]] });
    assert.deepEqual([...textRanks], [0, 0]);
    assert.equal(metrics['text_retrieval_recall@1'], 1);
    // The first image, without texts, is before the third, which is equal.
    assert.equal(metrics['image_retrieval_recall@1'], 0.5);
  });

  it('counts a text of several images once, and any of them as a hit', () => {
    const image = tensor([
      [1, 0],
      [0.9, 0.1],
      [0, 1],
    ]);
    const { metrics, chance } = retrieval({ image, text: eye(2), textsOf: [[1], [0], [0, 1]] });
    // Text 0 finds image 0 first, which is not its own; text 1 finds image 2.
    assert.equal(metrics['image_retrieval_recall@1'], 0.5);
    assert.equal(metrics.image_retrieval_mean_reciprocal_rank, 0.75);
    assert.equal(metrics.image_retrieval_median_rank, 1);
    assert.ok(Math.abs((chance['image_retrieval_recall@1'] ?? 0) - 2 / 3) < 1e-12);
    // Images 0 and 1 rank text 0 first; only image 0 means text 1.
    assert.ok(Math.abs((metrics['text_retrieval_recall@1'] ?? 0) - 2 / 3) < 1e-12);
    assert.equal(chance['text_retrieval_recall@5'], 1);
  });
});
