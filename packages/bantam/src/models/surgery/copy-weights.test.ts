import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  equal,
  fromTypedArray,
  full,
  Generator,
  memoryStats,
  noGrad,
  randn,
  scope,
  select,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { createModel, type Clip } from '../clip.js';
import { parseModelConfig, withChanges, type ModelConfigInput } from '../config.js';
import { loadModel, saveModel } from '../io/directory.js';
import { copyWeights, type CopyWeightsOptions } from './copy-weights.js';
import { preprocessFor } from '../preprocess.js';

const config = parseModelConfig({
  embedDim: 12,
  vision: { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 2 },
  text: { width: 16, heads: 2, layers: 1, vocabSize: 20, contextLength: 8 },
});

function build(seed: number, changes: ModelConfigInput = {}): Clip {
  return createModel(withChanges(config, changes), { generator: new Generator({ seed }) }).eval();
}

const pixels = (size = 16) => randn([2, 3, size, size], new Generator({ seed: 9 }));
const ids = () => fromTypedArray(BigInt64Array.from([18n, 3n, 4n, 19n]), { shape: [1, 4] });

const run = (body: () => void) => () => {
  noGrad(() => {
    scope(body);
  });
};

/** A model that writes captions. */
const captioning: ModelConfigInput = {
  embedDim: 16,
  customText: true,
  vision: { attentionalPool: true, attnPoolerQueries: 4, attnPoolerHeads: 2 },
  text: { embedCls: true },
  decoder: { layers: 1, heads: 2 },
};

describe('copyWeights', () => {
  it(
    'copies a decoder, and texts with a class token to a longer context',
    run(() => {
      const longer = { ...captioning, text: { embedCls: true, contextLength: 12 } };
      const [from, into] = [build(1, captioning), build(2, longer)];
      copyWeights(from, into);
      const own = into.stateDict();
      for (const [name, weight] of from.stateDict()) {
        if (name.startsWith('text_decoder.'))
          assert.ok(equal(own.get(name) ?? weight, weight), name);
      }
      const positions = (model: Clip) => model.stateDict().get('text.positional_embedding');
      const [old, wide] = [positions(from), positions(into)];
      assert.ok(old && wide);
      assert.deepEqual(wide.shape, [13, 16]);
      assert.ok(equal(select(wide, 0, 12), select(old, 0, 8)), 'the class token keeps its place');
      const other = build(3, { ...captioning, decoder: { layers: 1, heads: 4 } });
      assert.throws(() => {
        copyWeights(from, other);
      }, /another "heads" of "decoder"/);
    }),
  );

  it(
    'copies a whole model, temperature included, whatever its parameters are called',
    run(() => {
      for (const customText of [false, true]) {
        const [from, into] = [build(1), build(2, { customText, vision: { patchDropout: 0.5 } })];
        from.loadStateDict(new Map([...from.stateDict(), ['logit_scale', full([], 3)]]));
        copyWeights(from, into);
        assert.ok(equal(into.encodeImage(pixels()), from.encodeImage(pixels())));
        assert.ok(equal(into.encodeText(ids()), from.encodeText(ids())));
        assert.equal(into.logitScale.item(), 3);
        from.loadStateDict(build(3).stateDict());
        assert.equal(into.logitScale.item(), 3);
        assert.ok([...into.namedParameters().values()].every((own) => own.requiresGrad));
      }
    }),
  );

  it(
    'initialises a new bias and its scale by the configuration',
    run(() => {
      const into = build(2, { initLogitBias: -10, initLogitScale: 2 });
      copyWeights(build(1), into);
      assert.equal(into.logitScale.item(), 2);
      assert.equal(into.logitBias?.item(), -10);
      assert.ok(equal(into.encodeText(ids()), build(1).encodeText(ids())));
      const biased = build(3, { initLogitBias: -4, initLogitScale: 1 });
      copyWeights(biased, into);
      assert.equal(into.logitScale.item(), 1);
      assert.equal(into.logitBias.item(), -4);
    }),
  );

  for (const tower of ['visual', 'text'] as const) {
    it(
      `copies one tower alone: ${tower}`,
      run(() => {
        const other = tower === 'visual' ? { text: { width: 24 } } : { vision: { width: 24 } };
        const [from, into, before] = [build(1), build(2, other), build(2, other)];
        copyWeights(from, into, { tower });
        const image = (model: Clip) => model.encodeImage(pixels());
        const text = (model: Clip) => model.encodeText(ids());
        const [copied, kept] = tower === 'visual' ? [image, text] : [text, image];
        assert.ok(equal(copied(into), copied(from)));
        assert.ok(equal(kept(into), kept(before)));
      }),
    );
  }

  it('interpolates positions as loadModel does', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'bantam-copy-weights-'));
    const from = build(1);
    await saveModel(directory, { config, model: from, preprocess: preprocessFor(16) });
    const { model } = await loadModel(directory, { imageSize: 24, contextLength: 6 });
    await rm(directory, { recursive: true });
    const into = build(2, { vision: { imageSize: 24 }, text: { contextLength: 6 } });
    const before = memoryStats().liveTensors;
    copyWeights(from, into);
    assert.equal(memoryStats().liveTensors, before);
    const wanted = model.stateDict();
    for (const [name, value] of into.stateDict()) {
      assert.ok(equal(value, wanted.get(name) ?? assert.fail(name)), name);
    }
    run(() => {
      const atSize = from.encodeImage(pixels(24), { imageSize: 24 });
      assert.ok(equal(into.encodeImage(pixels(24)), atSize));
    })();
  });

  const refusals: [string, ModelConfigInput, RegExp, CopyWeightsOptions?][] = [
    [
      'tensors of another shape',
      { vision: { width: 24 } },
      /another model .*\(visual\.conv1\.weight is \[16, 3, 4, 4\] instead of \[24, 3, 4, 4\]; visual\.class_embedding is \[16\] instead of \[24\], and \d+ more differ\)/,
    ],
    [
      'tensors that are missing',
      { vision: { layers: 3 } },
      /another image tower .*\(transformer\.resblocks\.2\.\S+ \[\d+.*\] is missing/,
      { tower: 'visual' },
    ],
    ['another number of heads', { vision: { headWidth: 4 } }, /another "headWidth" of "vision"/],
    ['another activation', { quickGelu: true }, /another "quickGelu"/, { tower: 'text' }],
  ];
  for (const [what, changes, message, options] of refusals) {
    it(
      `refuses ${what}`,
      run(() => {
        assert.throws(
          () => {
            copyWeights(build(1), build(2, changes), options);
          },
          (error) => {
            assert.ok(error instanceof BantamError);
            assert.match(error.message, message);
            return true;
          },
        );
      }),
    );
  }
});
