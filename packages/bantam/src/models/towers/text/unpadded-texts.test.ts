import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { abs, cat, Generator, grad, max, mul, randn, sub, sum, type Tensor } from '@bantam/torch';
import { withGradCheckpointing } from '../../blocks/run-block.js';
import { createModel, type Clip } from '../../clip.js';
import { parseModelConfig, withChanges, type ModelConfigInput } from '../../config.js';
import { idRows } from '../../../test-support/id-rows.js';

const config = parseModelConfig({
  embedDim: 12,
  vision: { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 1 },
  text: { width: 16, heads: 2, layers: 3, vocabSize: 20, contextLength: 12 },
});

const texts = [
  [18, 3, 19],
  [18, 1, 5, 6, 4, 7, 2, 3, 1, 19],
  [18, 19],
  [18, 2, 2, 19],
];

const build = (changes: ModelConfigInput = {}): Clip =>
  createModel(withChanges(config, changes), { generator: new Generator({ seed: 1 }) });

/** Features, and the gradients of all of the tower's weights. */
function run(model: Clip, encode: () => Tensor): Tensor[] {
  const features = encode();
  const weights = model.text.parameters();
  const upstream = randn([texts.length, 12], new Generator({ seed: 4 }));
  return [
    features,
    ...grad([sum(mul(features, upstream))], weights).map((g) => g ?? assert.fail()),
  ];
}

/** The largest difference, relative to the largest number of its tensor. */
function farthest(a: readonly Tensor[], b: readonly Tensor[]): number {
  assert.equal(a.length, b.length);
  const off = a.map((x, i) => {
    const expected = b[i] ?? assert.fail();
    return max(abs(sub(x, expected))).item() / max(abs(expected)).item();
  });
  return Math.max(...off);
}

describe('texts of a batch without their padding', () => {
  const kinds: Record<string, ModelConfigInput> = {
    'their highest id': {},
    'their end': { text: { poolType: 'eos', eosId: 19 } },
    'shared blocks': { text: { shared: 'block', sharedLayers: 3 } },
  };
  for (const [what, changes] of Object.entries(kinds)) {
    it(`give what each gives alone, with ${what}, gradients included`, () => {
      const model = build(changes);
      const together = run(model, () => model.encodeText(idRows(texts)));
      // A text alone, cut to its length, has no padding to leave out.
      const alone = run(model, () =>
        cat(
          texts.map((row) => model.encodeText(idRows([row]))),
          0,
        ),
      );
      assert.ok(farthest(together, alone) < 1e-5, `${farthest(together, alone)}`);
    });
  }

  it('give the same whether activations are kept or computed again', () => {
    const model = build();
    const encode = () => model.encodeText(idRows(texts));
    const again = withGradCheckpointing(true, () => run(model, encode));
    assert.equal(farthest(run(model, encode), again), 0);
  });
});
