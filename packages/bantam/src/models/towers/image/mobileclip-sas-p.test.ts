import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  abs,
  add_,
  all,
  autocast,
  clone,
  Generator,
  grad,
  isFinite,
  max,
  noGrad,
  pow,
  randn,
  scope,
  select,
  sub,
  sum,
  to,
  type Tensor,
} from '@bantam/torch';
import { createModel, type Clip } from '../../clip.js';
import { parseModelConfig } from '../../config.js';
import { countModelFlops } from '../../../test-support/count-model-flops.js';
import { modelFlops, parameterCount } from '../../cost/flops.js';
import { fuseModel } from '../../inference/inference.js';
import { modelConfig } from '../../presets/presets.js';
import { MapSasPBlock } from './mobileclip-blocks.js';

const config = parseModelConfig({
  embedDim: 8,
  customText: true,
  vision: {
    type: 'mobileclip',
    imageSize: 64,
    widths: [8, 8, 8, 16],
    depths: [1, 1, 1, 3],
    headWidth: 8,
    attention: 'sas-p',
    sharedAttention: true,
  },
  text: {
    type: 'mobileclip',
    width: 16,
    heads: 2,
    layers: 2,
    vocabSize: 20,
    contextLength: 8,
    block: 'sas-p',
  },
});

const pixels = () => randn([2, 3, 64, 64], new Generator({ seed: 2 }));
const build = (): Clip => createModel(config, { generator: new Generator({ seed: 1 }) });
const blocksOf = (model: Clip) =>
  [...model.namedModules().values()].filter((module) => module instanceof MapSasPBlock);
const difference = (a: Tensor, b: Tensor) => max(abs(sub(a, b))).item();

describe("SiCLIP's image tower", () => {
  it('has 14 % fewer parameters than that of MobileCLIP-S0', () => {
    const base = parameterCount(modelConfig('MobileCLIP-S0')).image;
    const { image } = parameterCount(modelConfig('SiCLIP-S0'));
    // Two blocks: projections of values and outputs, q and k once, norms, layer scales, the 7×7
    // convolution and the biases of the MLP go; gains, and biases of q and k, come.
    const [w, hidden] = [512, 1536];
    const gone = 2 * (2 * w ** 2 + w + 2 * w + 2 * w + 49 * w + 2 * w + hidden + w) + 2 * w ** 2;
    const come = 2 * w + 2 * (w + 2) + 3 * (w / 32);
    assert.equal(base - image, gone - come);
    assert.equal(((1 - image / base) * 100).toFixed(1), '14.3');
  });

  it('has the operations that a run counts', () => {
    assert.deepEqual(countModelFlops(config), modelFlops(config));
  });

  it('starts without mixing the positions of its last stage', () => {
    scope(() => {
      const found = blocksOf(build());
      assert.equal(found.length, 3);
      const x = randn([2, 16, 3, 4], new Generator({ seed: 3 }));
      const other = clone(x);
      noGrad(() => add_(select(select(other, 3, 2), 2, 1), 1));
      for (const block of found) {
        const change = sum(abs(sub(block.forward(x), block.forward(other))), { dim: [0, 1] });
        assert.deepEqual(
          change.toArray().map((size) => size > 0),
          Array.from({ length: 12 }, (_, place) => place === 1 * 4 + 2),
        );
      }
    });
  });

  it('stores the shared attention once, and learns it in every block', () => {
    const model = build();
    const names = [...model.stateDict().keys()].filter((name) => name.includes('attn.in_proj_w'));
    const image = names.filter((name) => name.startsWith('visual.'));
    assert.deepEqual(image, ['visual.trunk.stages.3.blocks.0.attn.in_proj_weight']);
    scope(() => {
      const x = randn([2, 16, 3, 4], new Generator({ seed: 3 }));
      const gradients = blocksOf(model).map((block) => {
        const { inProjWeight } = block.block.attention;
        const [gradient] = grad([sum(pow(block.forward(x), 2))], [inProjWeight]);
        return max(abs(gradient ?? inProjWeight)).item();
      });
      assert.ok(
        gradients.every((size) => size > 0),
        gradients.join(),
      );
    });
  });

  it('computes the same when its convolutions are merged', () => {
    noGrad(() => {
      scope(() => {
        const model = build();
        const x = pixels();
        model.encodeImage(x);
        using fused = fuseModel(model.eval());
        const expected = model.encodeImage(x, { normalize: true });
        assert.ok(difference(fused.encodeImage(x, { normalize: true }), expected) < 1e-5);
      });
    });
  });

  it('is near itself in bfloat16, with finite gradients', () => {
    const model = build();
    scope(() => {
      const exact = model.encodeImage(pixels(), { normalize: true });
      const rough = autocast('bfloat16', () => model.encodeImage(pixels(), { normalize: true }));
      const features = to(rough, { dtype: 'float32' });
      assert.ok(difference(features, exact) < 0.1, `${difference(features, exact)}`);
      sum(features).backward();
      for (const [name, { grad: gradient }] of model.visual.namedParameters()) {
        assert.ok(gradient !== null && all(isFinite(gradient)).item() === 1, name);
      }
    });
  });
});
