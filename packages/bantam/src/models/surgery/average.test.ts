import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fill_, Generator, isFloating, memoryStats, noGrad, randn, copy_ } from '@bantam/torch';
import { BantamError, UsageError } from '../../base/errors.js';
import { clipTokenizer, trainTokenizer, type Tokenizer } from '../../text/index.js';
import { createModel, type Clip } from '../clip.js';
import { parseModelConfig, withChanges, type ModelConfigInput } from '../config.js';
import { loadModel, saveModel } from '../io/directory.js';
import { preprocessFor, type Preprocess } from '../preprocess.js';
import { averageModels, interpolateInto, interpolateModels, WeightSum } from './average.js';

/** A tokenizer with five merges of the words of a text. */
const tokenizerOf = (text: string) =>
  trainTokenizer(Array.from({ length: 9 }, () => text), { vocabSize: 520, contextLength: 8 }); // prettier-ignore

const tokenizer = tokenizerOf('a red square');

/** Both batch norms and a transformer. */
const config = parseModelConfig({
  embedDim: 8,
  vision: { type: 'modified-resnet', imageSize: 32, width: 8, depths: [1, 1, 1, 1], headWidth: 64 },
  text: { width: 16, heads: 2, layers: 1, vocabSize: tokenizer.vocabSize, contextLength: 8 },
});

/** A model with random weights, statistics and scale. */
function build(seed: number, changes: ModelConfigInput = {}): Clip {
  const generator = new Generator({ seed });
  const model = createModel(withChanges(config, changes), { generator }).eval();
  noGrad(() => {
    for (const [name, value] of model.stateDict()) {
      if (name.endsWith('num_batches_tracked')) fill_(value, seed);
      if (/running_(mean|var)$/.test(name)) {
        using noise = randn([...value.shape], generator);
        copy_(value, noise);
      }
    }
    fill_(model.logitScale, 2 + seed / 7);
  });
  return model;
}

let folder = '';
const path = (name: string) => join(folder, name);

interface SaveOptions {
  readonly changes?: ModelConfigInput;
  readonly preprocess?: Partial<Preprocess>;
  readonly tokenizer?: Tokenizer;
}

async function save(name: string, seed: number, options: SaveOptions = {}): Promise<string> {
  using model = build(seed, options.changes);
  await saveModel(path(name), {
    config: model.config,
    model,
    tokenizer: options.tokenizer ?? tokenizer,
    preprocess: preprocessFor(32, options.preprocess),
    info: { steps: seed },
  });
  return path(name);
}

const weightsOf = (directory: string) =>
  readFileSync(join(directory, 'open_clip_model.safetensors'));
const infoOf = (directory: string): unknown =>
  JSON.parse(readFileSync(join(directory, 'bantam.json'), 'utf8'));

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bantam-average-'));
  await save('a', 1);
  await save('b', 2);
  await save('c', 3);
});
after(() => {
  rmSync(folder, { recursive: true });
});

describe('interpolateInto', () => {
  it('rounds (1 − α)·θ₀ + α·θ₁ of every tensor once, statistics and scale among them', () => {
    using a = build(1);
    using b = build(2);
    using mixed = build(3);
    const alpha = 0.3;
    interpolateInto(mixed, { from: a.stateDict(), to: b.stateDict(), alpha });
    const [first, second] = [a.stateDict(), b.stateDict()];
    let statistics = 0;
    for (const [name, value] of mixed.stateDict()) {
      if (!isFloating(value.dtype)) {
        assert.equal(value.item(), 1, `${name} is that of the heavier model`);
        continue;
      }
      if (/running_(mean|var)$/.test(name)) statistics++;
      const own = first.get(name)?.toArray() ?? [];
      const other = second.get(name)?.toArray() ?? [];
      const wanted = own.map((x, i) => Math.fround((1 - alpha) * x + alpha * (other[i] ?? NaN)));
      assert.deepEqual(value.toArray(), wanted, name);
    }
    assert.ok(statistics > 0);
    const scale = Math.fround(0.7 * Math.fround(2 + 1 / 7) + 0.3 * Math.fround(2 + 2 / 7));
    assert.equal(mixed.logitScale.item(), scale);
  });

  it('refuses factors outside of 0 … 1', () => {
    using a = build(1);
    const state = a.stateDict();
    for (const alpha of [-0.1, 1.5, NaN]) {
      assert.throws(() => {
        interpolateInto(a, { from: state, to: state, alpha });
      }, UsageError);
    }
  });
});

describe('WeightSum', () => {
  it('gives back equal weights bit for bit, negative zeros too, and frees its memory', () => {
    using a = build(1);
    using into = build(2);
    noGrad(() => fill_(a.visual.parameters()[0] ?? a.logitScale, -0));
    const before = memoryStats().liveTensors;
    {
      using sum = new WeightSum();
      for (let i = 0; i < 3; i++) sum.add({ state: a.stateDict(), weight: 1 });
      sum.copyTo(into);
    }
    assert.equal(memoryStats().liveTensors, before);
    for (const [name, value] of into.stateDict()) {
      const wanted = a.stateDict().get(name)?.toArray() ?? [];
      assert.ok(
        value.toArray().every((x, i) => Object.is(x, wanted[i])),
        name,
      );
    }
  });

  it('tries a candidate without keeping it', () => {
    using a = build(1);
    using b = build(2);
    using into = build(3);
    using sum = new WeightSum();
    sum.add({ state: a.stateDict(), weight: 1 });
    sum.copyTo(into, { state: b.stateDict(), weight: 1 });
    const mean = Math.fround((a.logitScale.item() + b.logitScale.item()) / 2);
    assert.equal(into.logitScale.item(), mean);
    sum.copyTo(into);
    assert.equal(into.logitScale.item(), a.logitScale.item());
  });
});

describe('interpolateModels', () => {
  it('equals the two models at its ends, byte for byte', async () => {
    const [from, to] = [path('a'), path('b')];
    await interpolateModels({ from, to, alpha: 0, out: path('start') });
    await interpolateModels({ from, to, alpha: 1, out: path('end') });
    assert.ok(weightsOf(path('start')).equals(weightsOf(from)));
    assert.ok(weightsOf(path('end')).equals(weightsOf(to)));
  });

  it('writes the origin of the weights, and a model with the tokenizer', async () => {
    const [from, to, out] = [path('a'), path('b'), path('half')];
    const { average } = await interpolateModels({ from, to, out });
    assert.equal(average.method, 'wise-ft');
    assert.deepEqual(
      average.models.map(({ model, weight }) => [model, weight]),
      [[from, 0.5], [to, 0.5]], // prettier-ignore
    );
    assert.deepEqual(infoOf(out), { average });
    const loaded = await loadModel(out);
    using model = loaded.model;
    assert.equal(model.config.embedDim, 8);
    assert.deepEqual(loaded.tokenizer.encode('a red'), tokenizer.encode('a red'));
  });
});

describe('averageModels', () => {
  it('writes the mean of several models', async () => {
    const models = ['a', 'b', 'c'].map(path);
    const { average } = await averageModels({ models, out: path('soup') });
    assert.deepEqual(
      average.models.map(({ weight }) => weight),
      [1 / 3, 1 / 3, 1 / 3],
    );
    const loaded = await loadModel(path('soup'));
    using model = loaded.model;
    const scales = [1, 2, 3].map((seed) => Math.fround(2 + seed / 7));
    const mean = Math.fround(scales.reduce((sum, scale) => sum + scale, 0) / 3);
    assert.equal(model.logitScale.item(), mean);
  });

  it('names the first difference of models that are not alike', async () => {
    const other = tokenizerOf('some words');
    const differing: readonly (readonly [SaveOptions, RegExp])[] = [
      [{ changes: { embedDim: 12 } }, /: visual\.attnpool\.c_proj\.weight is \[8, 256\] in the first and \[12, 256\] in the second;/], // prettier-ignore
      [{ changes: { text: { layers: 2 } } }, /: the first has no transformer\.resblocks\.1\./],
      [{ changes: { quickGelu: true } }, /: the architecture of the first has "quickGelu" false, /],
      [{ preprocess: { mean: [0, 0, 0] } }, /: they prepare images differently \("mean" is \[0\.48/], // prettier-ignore
      [{ tokenizer: other }, /: their tokenizers differ \(the id \d+ is ".*" for the first and "/],
    ];
    for (const [i, [options, message]] of differing.entries()) {
      const { tokenizer: own = tokenizer } = options;
      const text = { ...options.changes?.text, vocabSize: tokenizer.vocabSize };
      assert.equal(own.vocabSize, tokenizer.vocabSize);
      const name = await save(`other-${i}`, 1, {
        ...options,
        changes: { ...options.changes, text },
      });
      const models = [path('a'), name];
      await assert.rejects(averageModels({ models, out: path('never') }), (error) => {
        assert.ok(error instanceof BantamError, String(error));
        assert.match(error.message, /^The weights of \S+ and \S+ cannot be averaged: /);
        assert.match(error.message, message);
        return true;
      });
    }
    await assert.rejects(averageModels({ models: [path('a')], out: path('never') }), UsageError);
  });

  it("takes CLIP's tokenizer for itself, from merges or from a tokenizer.json", async () => {
    const clip = await clipTokenizer({ contextLength: 8 });
    const text = { vocabSize: clip.vocabSize };
    const changes = { text };
    await save('own-clip', 1, { changes, tokenizer: clip });
    await save('saved-clip', 2, { changes, tokenizer: clip });
    // A directory without the file takes the carried vocabulary.
    for (const file of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json']) {
      rmSync(join(path('own-clip'), file), { force: true });
    }
    const models = [path('own-clip'), path('saved-clip')];
    const { average } = await averageModels({ models, out: path('clips') });
    assert.equal(average.models.length, 2);
  });
});
