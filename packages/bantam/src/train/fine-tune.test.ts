import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, renameSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { loadSafetensors, type Tensor } from '@bantam/torch';
import { loadModel } from '../models/index.js';
import { tiny, TinyRuns } from '../test-support/tiny-runs.js';
import type { RunOptions } from './config/config.js';
import type { TrainEvent } from './monitor/events.js';
import { readMetrics } from './run-dir/metrics.js';
import { readRunConfig } from './run-dir/paths.js';
import { train, type TrainOptions } from './train.js';

const runs = new TinyRuns();
before(async () => {
  await runs.make();
  await runs.train('base', { budget: '48samples' });
});
after(() => {
  runs.remove();
});

const init = () => ({ model: runs.path('base', 'model') });
const lora = { type: 'lora', rank: 2, alpha: 4, dropout: 0.2 } as const;

/** Weights of a run's model, or of the base. */
function weights(name: string): ReadonlyMap<string, Tensor> {
  return loadSafetensors(runs.path(name, 'model', 'open_clip_model.safetensors')).tensors;
}

/** Names of the weights that differ from the base model's. */
function changed(name: string): string[] {
  const base = weights('base');
  return [...weights(name)]
    .filter(([key, value]) => base.get(key)?.toArray().join() !== value.toArray().join())
    .map(([key]) => key);
}

const isOfImage = (name: string) => name.startsWith('visual.');
const isOfHead = (name: string) =>
  /^(?:visual\.)?(?:ln_post|ln_final|proj|text_projection|logit_scale)/.test(name);

/** Ways to fine-tune, and the steps after which they are interrupted; a run has twelve. */
const ways: readonly { name: string; stops: readonly number[]; options: Partial<RunOptions> }[] = [
  { name: 'full with layer decay', stops: [5], options: { train: { layerDecay: 0.5 } } },
  { name: 'lora', stops: [1, 7], options: { fineTune: lora } },
  {
    name: 'lora in micro-batches with checkpointing',
    stops: [4],
    options: {
      fineTune: lora,
      train: { microBatch: 4, accumulate: 2, gradCheckpointing: true, optimizer: 'lion' },
    },
  },
  {
    name: 'lora saved as an adapter',
    stops: [3],
    options: { fineTune: { ...lora, save: 'adapter' } },
  },
  { name: 'image frozen', stops: [6], options: { train: { freeze: ['image'] } } },
  { name: 'text frozen', stops: [2], options: { train: { freeze: ['text'] } } },
  // The head has half of the run: it ends with step 6.
  ...[[6], [2, 5, 6, 7]].map((stops) => ({
    name: `lp-ft interrupted at ${stops.join()}`,
    stops,
    options: { fineTune: { type: 'lp-ft', headFraction: 0.5, headLr: 2 } } as const,
  })),
];

const optionsOf = ({ options }: (typeof ways)[number]): Partial<TrainOptions> => ({
  ...options,
  budget: '96samples',
  init: init(),
  train: { ema: 0.9, lr: 1e-3, ...options.train },
});

describe('fine-tuning', () => {
  for (const way of ways) {
    it(`resumes with the same bytes: ${way.name}`, async () => {
      const [whole, parts] = [`${way.name} whole`, `${way.name} parts`];
      const { steps } = await runs.train(whole, optionsOf(way));
      const resumed = await runs.trainInParts(parts, optionsOf(way), way.stops);
      assert.equal(resumed.steps, steps);
      const expected = runs.checkpoint(whole);
      const actual = runs.checkpoint(parts);
      assert.deepEqual([...actual.keys()], [...expected.keys()]);
      for (const [part, bytes] of expected) assert.ok(actual.get(part)?.equals(bytes), part);
      const figures = (name: string) =>
        readMetrics(runs.path(name)).map(({ step, loss, lr }) => [step, loss, lr]);
      assert.deepEqual(figures(parts), figures(whole));
    });
  }

  it('with LoRA changes the linear layers of the blocks, merged into a plain model', () => {
    const names = changed('lora whole');
    assert.ok(names.length > 0);
    for (const name of names)
      assert.match(name, /(?:in_proj_weight|(?:c_fc|c_proj|out_proj)\.weight)$/);
    assert.ok(names.some(isOfImage) && names.some((name) => !isOfImage(name)));
    assert.equal(weights('lora whole').size, weights('base').size);
  });

  it('with a frozen tower changes none of its weights', () => {
    const [image, text] = [changed('image frozen whole'), changed('text frozen whole')];
    assert.ok(image.length > 0 && !image.some(isOfImage));
    assert.ok(text.length > 0);
    assert.deepEqual(text.filter((name) => !isOfImage(name)), ['logit_scale']); // prettier-ignore
  });

  it('by LP-FT changes the head alone at first, then all', async () => {
    const fineTune = { type: 'lp-ft', headFraction: 0.5 } as const;
    const options = { fineTune, init: init(), train: { lr: 1e-3 } };
    const signal = new AbortController();
    const notes: string[] = [];
    const onEvent = (event: TrainEvent) => {
      if (event.kind === 'note') notes.push(event.message);
      if (event.kind === 'step' && event.step === 6) signal.abort();
    };
    await runs.train('lp-ft half', { ...options, signal: signal.signal, onEvent });
    assert.equal(notes.at(-1), 'From step 7 on all weights train, no longer the head alone, at a peak learning rate of 0.001.'); // prettier-ignore
    const model = runs.checkpoint('lp-ft half').get('model.safetensors');
    assert.ok(model);
    const { tensors } = loadSafetensors(runs.path('lp-ft half', 'checkpoints', 'step-00000006', 'model.safetensors')); // prettier-ignore
    const base = weights('base');
    const moved = [...tensors.keys()].filter(
      (name) => base.get(name)?.toArray().join() !== tensors.get(name)?.toArray().join(),
    );
    assert.ok(moved.length >= 6 && moved.every(isOfHead), moved.join());
    const later = changed('lp-ft interrupted at 6 whole');
    assert.ok(later.some((name) => name.includes('resblocks')));
  });

  it('loads an adapter as the model that was merged, while its base is there and the same', async () => {
    const directory = runs.path('lora saved as an adapter whole', 'model');
    assert.ok(!existsSync(`${directory}/open_clip_model.safetensors`));
    const [adapted, merged] = [await loadModel(directory), await loadModel(runs.path('lora whole', 'model'))];
    const own = adapted.model.stateDict();
    for (const [name, value] of merged.model.stateDict()) {
      const error = Math.hypot(...value.toArray().map((x, i) => x - (own.get(name)?.toArray()[i] ?? NaN)));
      assert.ok(error < 1e-5, `${name}: ${error}`);
    }
    assert.deepEqual(adapted.config, merged.config);
    assert.deepEqual(adapted.tokenizer.encode('a red one'), merged.tokenizer.encode('a red one'));
    const described = JSON.parse(readFileSync(`${directory}/adapter_config.json`, 'utf8')) as object;
    assert.equal('base_model_name_or_path' in described && described.base_model_name_or_path, '../../base/model');
    for (const { model } of [adapted, merged]) model.dispose();

    const base = runs.path('base', 'model');
    renameSync(base, `${base}.away`);
    await assert.rejects(loadModel(directory), /^BantamError: The base model \.\.\/\.\.\/base\/model that .* does not exist/);
    cpSync(runs.path('lora whole', 'model'), base, { recursive: true });
    await assert.rejects(loadModel(directory), /has other weights than the one that the adapter .* was trained on/);
    cpSync(`${base}.away`, base, { recursive: true, force: true });
  }); // prettier-ignore

  it('saves the best adapter of its validations', async () => {
    const values = [0.1, 0.3, 0.2];
    let asked = 0;
    await runs.train('adapter with validation', {
      init: init(),
      fineTune: { ...lora, save: 'adapter' },
      validation: { data: 'any', every: 0.34 },
      openValidator: () =>
        Promise.resolve({
          lowerIsBetter: false,
          measure: () => Promise.resolve(values[asked++] ?? 0),
        }),
    });
    const { info, model } = await loadModel(runs.path('adapter with validation', 'model'));
    assert.deepEqual((info.validation as { value: number }).value, 0.3);
    model.dispose();
  });

  it('has defaults of its own, which a note names', async () => {
    const notes: string[] = [];
    const onEvent = (event: TrainEvent) => {
      if (event.kind === 'note') notes.push(event.message);
    };
    const { data, out, tokenizer, train: settings = {} } = runs.options('defaults');
    await train({
      data,
      out,
      train: settings,
      init: init(),
      onEvent,
      ...(tokenizer && { tokenizer }),
    });
    const config = readRunConfig(runs.path('defaults'));
    assert.deepEqual(
      [config.train.lr, config.train.weightDecay, config.budget],
      [1e-5, 0.1, '200samples'],
    );
    assert.ok(notes.some((note) => note.endsWith('is fine-tuned with a learning rate of 0.00001 (train.lr), a weight decay of 0.1 (train.weightDecay) and 10 passes over the data (budget) by default.')), notes.join()); // prettier-ignore
    const adapted = runs.config({ init: init(), fineTune: 'lora' });
    // Nothing is read here: the model in init.model decides.
    assert.equal(adapted.train.lr, 1e-3);
  });

  for (const [what, options, message] of [
    ['LoRA without a model', { fineTune: 'lora' }, /^The setting 'fineTune\.type' is "lora", which fine-tunes a trained model; name one with --init\.$/],
    ['an adapter of two models', { fineTune: { ...lora, save: 'adapter' }, init: { model: 'base', image: 'base' } }, /leave out --init-image, or save "merged"/],
    ['LoRA with the sigmoid loss on a model of softmax', { fineTune: lora, strategy: 'siglip', init: { model: 'base' } }, /^The sigmoid loss gives the model a bias of the logits, which .* has not/],
    ['LP-FT with phases of the strategy', { fineTune: 'lp-ft', strategy: 'flip', init: { model: 'base' } }, /the strategy 'flip' has phases of its own; choose another of the two/],
    ['no budget and no model', { budget: undefined }, /^A run needs a budget/],
    ['a tower of another name', { train: { freeze: ['images'] } }, /^"images" of train\.freeze is no tower \(did you mean "image"\?\) and matches none of the \d+ parameter names; write image, text, or a pattern of names\.$/],
    ['a model that is frozen whole', { train: { freeze: ['*'] } }, /^Every weight of the model is frozen \(train\.freeze: \*\), so nothing would train; freeze fewer\.$/],
    ['targets that match nothing', { fineTune: { ...lora, targets: ['*.attention'] }, init: { model: 'base' } }, /^"\*\.attention" of "targets" of LoRA matches none/],
  ] as const) {
    it(`refuses ${what}`, async () => {
      const given = 'init' in options ? { init: Object.fromEntries(Object.keys(options.init).map((key) => [key, runs.path('base', 'model')])) } : {}; // prettier-ignore
      const all = { ...runs.options(`refused ${what}`), model: tiny, ...options, ...given } as TrainOptions;
      await assert.rejects(train(all), (error: Error) => {
        assert.match(error.message, message);
        return true;
      });
      assert.ok(!existsSync(runs.path(`refused ${what}`)));
    });
  } // prettier-ignore
});
