import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  abs,
  add,
  add_,
  all,
  arange,
  autocast,
  clone,
  equal,
  Generator,
  grad,
  isFinite,
  lt,
  max,
  mul,
  noGrad,
  randn,
  scope,
  select,
  sub,
  sum,
  tensor,
  to,
  type Module,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { createModel, type Clip } from '../clip.js';
import { parseModelConfig, withChanges, type ModelConfigInput } from '../config.js';
import { parameterCount } from '../cost/flops.js';
import { fromOpenClip, toOpenClip } from '../io/formats/open-clip-config.js';
import { modelConfig } from '../presets/presets.js';
import { gatherTokens } from './sequences.js';
import { SasPBlock } from './sas-p.js';
import type { TransformerConfig } from './transformer-config.js';
import { ResidualBlock } from './residual-block.js';
import { Transformer } from './transformer.js';

const [batch, length, width] = [3, 7, 24];
const random = (shape: readonly number[], seed: number) => randn(shape, new Generator({ seed }));
const difference = (a: Tensor, b: Tensor) => max(abs(sub(a, b))).item();

function createBlock({ ownValues = false } = {}): SasPBlock {
  const generator = new Generator({ seed: 1 });
  return new SasPBlock({ width, heads: 3, hidden: 48, normEps: 1e-5, ownValues, generator });
}

/** Moves all parameters away from where they start. */
function train<T extends Module>(module: T): T {
  noGrad(() => {
    scope(() => {
      module.parameters().forEach((parameter, seed) => {
        add_(parameter, mul(random(parameter.shape, seed), 0.3));
      });
    });
  });
  return module;
}

/** Rows of 7, 4 and 1 tokens. */
const visible = () => lt(arange(length), tensor([[7], [4], [1]]));
const masks = {
  none: () => ({}),
  causal: () => ({ causal: true }),
  padded: () => ({ visible: visible() }),
  'causal and padded': () => ({ causal: true, visible: visible() }),
};

for (const [name, mask] of Object.entries(masks)) {
  describe(`SasPBlock, mask: ${name}`, () => {
    for (const ownValues of [true, false]) {
      it(`starts as N(x) + 0.1·MLP(N(x)), exactly: ${ownValues ? 'first' : 'later'} block`, () => {
        scope(() => {
          const block = createBlock({ ownValues });
          const x = random([batch, length, width], 2);
          const normed = block.ln_1.forward(x);
          assert.ok(equal(block.attention.forward(normed, mask()), normed));
          const expected = add(normed, mul(block.mlp.forward(normed), 0.1));
          assert.ok(difference(block.forward(x, mask()), expected) < 1e-6);
        });
      });
    }

    it('starts without mixing tokens, in gradients too', () => {
      scope(() => {
        const x = clone(random([batch, length, width], 2));
        x.requiresGrad = true;
        const output = createBlock({ ownValues: true }).forward(x, mask());
        const [gradient] = grad([sum(select(output, 1, 3))], [x]);
        assert.ok(gradient);
        const sizes = sum(abs(gradient), { dim: [0, 2] }).toArray();
        assert.deepEqual(
          sizes.map((size) => size !== 0),
          sizes.map((_, place) => place === 3),
        );
      });
    });

    it('starts as the identity in bfloat16 too', () => {
      scope(() => {
        const x = to(random([batch, length, width], 2), { dtype: 'bfloat16' });
        const attended = autocast('bfloat16', () => createBlock().attention.forward(x, mask()));
        assert.equal(attended.dtype, 'bfloat16');
        assert.ok(equal(attended, x));
      });
    });

    it('computes the same for some positions alone', () => {
      scope(() => {
        const block = train(createBlock({ ownValues: true }));
        const x = random([batch, length, width], 2);
        const whole = block.forward(x, mask());
        for (const positions of [tensor([[6], [2], [0]], { dtype: 'int64' }), 0, 5]) {
          const alone = block.forward(x, { ...mask(), positions });
          assert.deepEqual(alone.shape, [batch, 1, width]);
          assert.ok(difference(alone, gatherTokens(whole, positions)) < 1e-5);
        }
      });
    });
  });
}

const plain = {
  embedDim: 12,
  vision: { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 2 },
  text: { width: 16, heads: 2, layers: 2, vocabSize: 20, contextLength: 8 },
};
const simplified = withChanges(parseModelConfig(plain), {
  vision: { block: 'sas-p' },
  text: { block: 'sas-p' },
});

function build(changes: ModelConfigInput = {}): Clip {
  return createModel(withChanges(simplified, changes), { generator: new Generator({ seed: 1 }) });
}

describe('a tower of SAS-P blocks', () => {
  for (const patchDropout of [0, 0.5]) {
    it(`starts without mixing patches, patch dropout ${patchDropout}`, () => {
      scope(() => {
        const { visual } = build({ vision: { patchDropout } });
        const pixels = random([4, 3, 16, 16], 3);
        const other = clone(pixels);
        // The first patch of each image.
        noGrad(() => {
          for (const row of [0, 1, 2, 3]) {
            add_(select(select(select(other, 3, row), 2, 1), 1, 0), 1);
          }
        });
        const encode = (x: Tensor) =>
          visual.encode(x, { tokens: true, generator: new Generator({ seed: 4 }) });
        const [a, b] = [encode(pixels), encode(other)];
        assert.ok(equal(a.pooled, b.pooled), 'the class token');
        assert.ok(a.tokens && b.tokens);
        const changed = max(abs(sub(a.tokens, b.tokens)), { dim: 2 }).toArray();
        const count = changed.filter((size) => size > 0).length;
        assert.ok(patchDropout === 0 ? count === 4 : count > 0 && count < 4, `${count} changed`);
      });
    });
  }

  it('is near itself in bfloat16, with finite gradients', () => {
    const model = train(build());
    scope(() => {
      const pixels = random([4, 3, 16, 16], 3);
      const ids = tensor([[1, 4, 19], [1, 2, 19]], { dtype: 'int64' }); // prettier-ignore
      const encode = () => [
        model.encodeImage(pixels, { normalize: true }),
        model.encodeText(ids, { normalize: true }),
      ];
      const exact = encode();
      const rough = autocast('bfloat16', encode);
      rough.forEach((features, i) => {
        const error = difference(to(features, { dtype: 'float32' }), exact[i] ?? features);
        assert.ok(error < 0.1, `off by ${error}`);
        sum(to(features, { dtype: 'float32' })).backward();
      });
      for (const [name, { grad: gradient }] of model.namedParameters()) {
        if (name === 'logit_scale') continue;
        assert.ok(gradient !== null && all(isFinite(gradient)).item() === 1, name);
      }
    });
  });

  it('has 10 squares of the width for each 12 of pre-norm blocks, and one more in the first', () => {
    const { image } = parameterCount(modelConfig('SAS-P-ViT-S-16'));
    const [w, heads, layers] = [384, 6, 12];
    // Left out: values and outputs, all biases but those of q and k, the second norm and its like.
    const left = 2 * w ** 2 + (2 + 5) * w + (3 + 1) * w - w;
    const own = 3 * heads + 2;
    const first = w ** 2 + 2;
    const dense = parameterCount(modelConfig('ViT-S-16')).image;
    assert.equal(image, dense - layers * (left - own) + first);
  });

  it('is stored under a name that OpenCLIP refuses', () => {
    const written = toOpenClip(simplified);
    assert.deepEqual(Object.keys(written.vision_cfg as object), ['bantam']);
    assert.deepEqual(fromOpenClip(JSON.parse(JSON.stringify(written))), simplified);
  });

  it('refuses settings that its blocks do not have', () => {
    assert.throws(
      () => withChanges(simplified, { vision: { lsInitValue: 0.1 } }),
      (error) =>
        error instanceof BantamError && error.message.includes('"lsInitValue" of "vision"'),
    );
  });
});

describe('shared layers', () => {
  it('are one block, counted and stored once', () => {
    const config = withChanges(simplified, {
      vision: { layers: 5, sharedLayers: 2 },
      text: { layers: 3, sharedLayers: 3 },
    });
    using model = createModel(config, { generator: null });
    const blocks = [...model.stateDict().keys()].flatMap(
      (name) => /(.*resblocks\.\d+)\.mlp_gain/.exec(name)?.[1] ?? [],
    );
    const prefix = 'visual.transformer.resblocks';
    assert.deepEqual(blocks, [
      ...[0, 1, 2].map((i) => `${prefix}.${i}`),
      'transformer.resblocks.0',
    ]);
    const own = parameterCount(
      withChanges(config, {
        vision: { layers: 3, sharedLayers: 1 },
        text: { layers: 1, sharedLayers: 1 },
      }),
    );
    assert.deepEqual(parameterCount(config), own);
  });

  it('have the sum of the gradients that separate ones have', () => {
    const config: TransformerConfig = {
      width: 16,
      layers: 3,
      mlpRatio: 2,
      lsInitValue: null,
      normEps: 1e-5,
      geluTanh: false,
      block: 'pre-norm',
      sharedLayers: 1,
      shared: 'block',
      moe: null,
    };
    const options = { heads: 2, quickGelu: false, generator: new Generator({ seed: 1 }) };
    const shared = new Transformer({ ...options, config: { ...config, sharedLayers: 3 } });
    const separate = new Transformer({ ...options, config });
    scope(() => {
      const x = random([2, 5, 16], 2);
      const [only] = shared.resblocks;
      assert.ok(only instanceof ResidualBlock);
      for (const block of separate.resblocks) block.loadStateDict(only.stateDict());
      const outputs = [shared, separate].map((transformer) => transformer.forward(x));
      for (const y of outputs) sum(mul(y, y)).backward();
      const [a, b] = outputs as [Tensor, Tensor];
      assert.ok(equal(a, b));
      for (const [name, { grad: gradient }] of only.namedParameters()) {
        const parts = separate.resblocks.map((block) => block.namedParameters().get(name)?.grad);
        const expected = parts.reduce((total, part) => total && part && add(total, part));
        assert.ok(gradient && expected);
        const size = max(abs(expected)).item();
        assert.ok(difference(gradient, expected) <= 1e-5 * size + 1e-6, name);
      }
    });
  });

  it('shares one attention under one name, with an MLP for each layer', () => {
    const text = { layers: 3, sharedLayers: 2, shared: 'attention' } as const;
    using model = createModel(withChanges(simplified, { text }), { generator: null });
    const names = [...model.text.stateDict().keys()];
    const owners = (end: string) =>
      names.filter((name) => name.endsWith(end)).map((name) => /\d/.exec(name)?.[0]);
    assert.deepEqual(owners('attn.in_proj_weight'), ['0', '2']);
    assert.deepEqual(owners('mlp.c_fc.weight'), ['0', '1', '2']);
    assert.throws(
      () => withChanges(simplified, { text: { ...text, block: 'pre-norm' } }),
      /Pre-norm blocks of "text" cannot share their attention alone/,
    );
  });

  it('refuses more shared layers than there are', () => {
    assert.throws(
      () => withChanges(simplified, { text: { sharedLayers: 3 } }),
      /"sharedLayers" of "text" \(3\) is more than its "layers" \(2\)/,
    );
  });
});
