import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  abs,
  cat,
  Generator,
  max,
  mean,
  narrow,
  noGrad,
  normalize,
  randn,
  scope,
  select,
  sub,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../base/errors.js';
import { createModel, type Clip } from './clip.js';
import { parseModelConfig, withChanges, type ModelConfigInput } from './config.js';
import { idRows } from '../test-support/id-rows.js';

const config = parseModelConfig({
  embedDim: 12,
  vision: { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 2 },
  text: { width: 16, heads: 2, layers: 2, vocabSize: 20, contextLength: 8 },
});

function build(changes: ModelConfigInput = {}): Clip {
  return createModel(withChanges(config, changes), {
    generator: new Generator({ seed: 1 }),
  }).eval();
}

const pixels = () => randn([3, 3, 16, 16], new Generator({ seed: 2 }));

const texts = [
  [18, 3, 19],
  [18, 0, 5, 6, 19],
  [18, 19],
];

function assertNear(a: Tensor, b: Tensor, tolerance = 2e-6): void {
  assert.deepEqual(a.shape, b.shape);
  const difference = max(abs(sub(a, b))).item();
  assert.ok(difference <= tolerance, `differ by ${difference}`);
}

/** Runs without gradients, and frees what it makes. */
const run = (body: () => void) => () => {
  noGrad(() => {
    scope(body);
  });
};

describe('VisionTransformer', () => {
  for (const poolType of ['tok', 'avg'] as const) {
    for (const finalLnAfterPool of [false, true]) {
      it(
        `gives the same feature with tokens: ${poolType}, last norm ${finalLnAfterPool ? 'after' : 'before'}`,
        run(() => {
          const { visual } = build({ vision: { poolType, finalLnAfterPool } });
          const alone = visual.encode(pixels());
          const both = visual.encode(pixels(), { tokens: true });
          assert.equal(alone.tokens, null);
          assert.deepEqual(both.tokens?.shape, [3, 16, 16]);
          assertNear(alone.pooled, both.pooled);
        }),
      );
    }
  }

  it(
    'leaves out patches in training only, by the stream that it is given',
    run(() => {
      const model = build({ vision: { patchDropout: 0.5 } });
      const whole = model.encodeImage(pixels());
      assertNear(whole, build().encodeImage(pixels()), 0);
      model.train();
      const drop = (seed: number) =>
        model.encodeImage(pixels(), { generator: new Generator({ seed }) });
      assertNear(drop(1), drop(1), 0);
      assert.notDeepEqual(drop(1).toArray(), drop(2).toArray());
      assert.notDeepEqual(drop(1).toArray(), whole.toArray());
      const { tokens } = model.visual.encode(pixels(), {
        tokens: true,
        generator: new Generator(),
      });
      assert.deepEqual(tokens?.shape, [3, 8, 16]);
      assert.throws(() => model.encodeImage(pixels()), /Patch dropout needs a random stream/);
    }),
  );

  it(
    'refuses images of another size',
    run(() => {
      assert.throws(
        () => build().encodeImage(randn([1, 3, 20, 20], new Generator())),
        (error) => error instanceof BantamError && error.message.includes('[B, 3, 16, 16]'),
      );
    }),
  );
});

describe('TextTransformer', () => {
  for (const poolType of ['argmax', 'eos', 'first'] as const) {
    it(
      `does not depend on the padding: ${poolType}`,
      run(() => {
        const model = build({ text: { poolType, eosId: 19 } });
        assertNear(model.encodeText(idRows(texts)), model.encodeText(idRows(texts, 8)));
      }),
    );
  }

  for (const text of [{ poolType: 'last' }, { noCausalMask: true }] as const) {
    it(
      `fills texts up to the context where it matters: ${JSON.stringify(text)}`,
      run(() => {
        const model = build({ text });
        const short = model.encodeText(idRows(texts));
        assertNear(short, model.encodeText(idRows(texts, 8)), 0);
        const { tokens } = model.text.encode(idRows(texts), { tokens: true });
        assert.deepEqual(tokens?.shape, [3, 5, 16]);
        const other = build({ text: { ...text, padId: 7 } });
        assert.notDeepEqual(other.encodeText(idRows(texts)).toArray(), short.toArray());
      }),
    );
  }

  const masked = { noCausalMask: true, maskPadding: true } as const;
  for (const changes of [
    { ...masked, poolType: 'mean' },
    { ...masked, poolType: 'mean', textEnd: 'eos', eosId: 17 },
    { ...masked, poolType: 'argmax' },
    { ...masked, poolType: 'eos', eosId: 19 },
    { ...masked, poolType: 'first' },
    { ...masked, poolType: 'mean', block: 'sas-p' },
    { poolType: 'mean' },
  ] as const) {
    it(
      `hides padding, whatever its ids are: ${JSON.stringify(changes)}`,
      run(() => {
        const model = build({ text: changes });
        const end = 'textEnd' in changes ? changes.eosId : 19;
        // Id 0 is a token like any other within a text.
        const rows = [
          [16, 3, end],
          [16, 0, 0, 6, end],
          [16, end],
        ];
        const padded = rows.map((row) => [
          ...row,
          ...[4, end, 0, 5, 2, 3].slice(0, 8 - row.length),
        ]);
        const alone = cat(rows.map((row) => model.encodeText(idRows([row]))));
        assertNear(model.encodeText(idRows(rows)), alone);
        assertNear(model.encodeText(idRows(padded)), alone);
        const { pooled, tokens } = model.text.encode(idRows(padded), { tokens: true });
        assertNear(pooled, alone);
        assert.deepEqual(tokens?.shape, [3, 8, 16]);
        const [first = []] = rows;
        const longer = model.encodeText(idRows([[...first.slice(0, 2), 0, end]]));
        assert.notDeepEqual(longer.toArray(), narrow(alone, 0, 0, 1).toArray());
      }),
    );
  }

  it(
    'pools the mean of the tokens up to the end',
    run(() => {
      const model = build({ text: { poolType: 'mean', projType: 'none', width: 12, heads: 2 } });
      const { pooled, tokens } = model.text.encode(idRows(texts, 8), { tokens: true });
      assert.ok(tokens !== null);
      texts.forEach((row, i) => {
        const own = narrow(narrow(tokens, 0, i, 1), 1, 0, row.length);
        assertNear(mean(own, { dim: 1 }), narrow(pooled, 0, i, 1));
      });
    }),
  );

  it('refuses masks without an effect, and pooling at a position that they hide', () => {
    assert.throws(() => build({ text: { maskPadding: true } }), /set "noCausalMask" too/);
    assert.throws(
      () => build({ text: { ...masked, poolType: 'last' } }),
      /"last" of "text" reads padding/,
    );
  });

  for (const poolType of ['argmax', 'eos', 'first', 'last', 'mean'] as const) {
    it(
      `gives the same feature with tokens: ${poolType}`,
      run(() => {
        const { text } = build({ text: { poolType, eosId: 19 } });
        const alone = text.encode(idRows(texts));
        const both = text.encode(idRows(texts), { tokens: true });
        assert.equal(alone.tokens, null);
        assertNear(alone.pooled, both.pooled);
      }),
    );
  }

  it(
    'lets no token see a later one, but all where the mask is off',
    run(() => {
      const [a, b] = [
        [18, 3, 4, 19],
        [18, 3, 5, 19],
      ];
      const tokensOf = (model: Clip, row: number[]) => {
        const { tokens } = model.text.encode(idRows([row]), { tokens: true });
        assert.ok(tokens);
        return tokens;
      };
      const causal = build();
      const firstTwo = (x: Tensor) => narrow(x, 1, 0, 2);
      assertNear(firstTwo(tokensOf(causal, a)), firstTwo(tokensOf(causal, b)), 0);
      const open = build({ text: { noCausalMask: true } });
      assert.notDeepEqual(
        firstTwo(tokensOf(open, a)).toArray(),
        firstTwo(tokensOf(open, b)).toArray(),
      );
    }),
  );

  it(
    'refuses texts beyond the context',
    run(() => {
      assert.throws(
        () => build().encodeText(idRows(texts, 9)),
        (error) => error instanceof BantamError && /9 tokens .* context of 8/.test(error.message),
      );
    }),
  );
});

describe('Clip', () => {
  it("has OpenCLIP's names, with the text tower at the top or under text.", () => {
    const names = [
      ...build({ text: { projBias: true } })
        .stateDict()
        .keys(),
    ];
    for (const name of ['transformer.resblocks.1.ln_2.bias', 'text_projection.bias', 'logit_scale'])
      assert.ok(names.includes(name), name);
    const custom = [...build({ customText: true }).stateDict().keys()];
    assert.ok(custom.includes('text.transformer.resblocks.1.ln_2.bias'));
    assert.ok(!custom.includes('transformer.resblocks.1.ln_2.bias'));
  });

  it(
    'normalises features where asked',
    run(() => {
      const model = build();
      const features = model.encodeText(idRows(texts));
      assertNear(model.encodeText(idRows(texts), { normalize: true }), normalize(features), 0);
      const image = model.encodeImage(pixels(), { normalize: true });
      assert.ok(Math.abs(Math.hypot(...select(image, 0, 1).toArray()) - 1) < 1e-6);
    }),
  );

  it('initialises equal weights from equal seeds only', () => {
    const draw = (seed: number) =>
      createModel(config, { generator: new Generator({ seed }) })
        .visual.stateDict()
        .get('proj')
        ?.toArray();
    assert.deepEqual(draw(3), draw(3));
    assert.notDeepEqual(draw(3), draw(4));
  });
});
