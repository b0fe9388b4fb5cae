import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { scope } from '@bantam/torch';
import { Loader, openSource, type Batch, type Source } from '../../data/index.js';
import { writeTextures } from '../../test-support/textures.js';
import { BantamError } from '../../base/errors.js';
import { loadModel, modelConfig, type LoadedModel } from '../../models/index.js';
import { addGradients } from '../loop/gradients.js';
import {
  assertAllClose,
  createBench,
  gradients,
  numbersOf,
} from '../../test-support/strategy-bench.js';
import { readMetrics } from '../run-dir/metrics.js';
import { onePhase } from '../strategies/phases.js';
import { Collator } from '../loop/micro-batch.js';
import { TinyRuns } from '../../test-support/tiny-runs.js';
import type { StrategyInput } from '../strategies/index.js';
import { resumeTraining, type TrainOptions } from '../train.js';
import { reinforceSource, type ReinforceOptions, type ReinforceSummary } from './reinforce.js';
import { ReinforcedSet } from './reinforced-set.js';

const runs = new TinyRuns();
const teacherNames = ['alike', 'other'] as const;
const models: LoadedModel[] = [];
let data: string;
let source: Source;

before(async () => {
  await runs.make();
  data = await writeTextures(runs.path('textures'), 20);
  source = await openSource(data);
  const other = modelConfig('ViT-Pico-8-64', {
    embedDim: 24,
    vision: { imageSize: 24, patchSize: 8, width: 16, headWidth: 8, layers: 1 },
    text: { width: 16, heads: 2, layers: 1 },
  });
  await runs.train('alike', { data, budget: '24samples' });
  await runs.train('other', { data, budget: '24samples', model: other });
  for (const name of teacherNames) models.push(await loadModel(runs.path(name, 'model')));
  await make('set');
});
after(() => {
  for (const { model } of models) model.dispose();
  runs.remove();
});

/** A set of two teachers, 20 records in three files. */
function make(name: string, changes: Partial<ReinforceOptions> = {}): Promise<ReinforceSummary> {
  return reinforceSource(source, {
    teachers: teacherNames.map((teacher) => runs.path(teacher, 'model')),
    out: runs.path(name),
    augmentations: 3,
    captions: 2,
    augment: [{ op: 'random-resized-crop', scale: [0.3, 1] }, { op: 'flip' }],
    size: 16,
    seed: 5,
    precision: 'fp32',
    store: 'fp32',
    blockSize: 8,
    batchSize: 9,
    workers: 0,
    ...changes,
  });
}

/** The files of a set by name. */
function files(name: string): Map<string, string> {
  const all = readdirSync(runs.path(name)).sort();
  return new Map(all.map((file) => [file, readFileSync(runs.path(name, file), 'base64')]));
}

/** A step of a student on a batch of the set: losses, and gradients by name. */
function step(strategy: StrategyInput, batch: Batch, reinforced?: ReinforcedSet) {
  const config = { preprocess: tinyPreprocess(), seed: 0 };
  const [student] = models;
  assert.ok(student);
  const bench = createBench(strategy, {
    config: student.config,
    dtype: 'float32',
    ...(reinforced === undefined ? { models } : { reinforced }),
  });
  const collator = new Collator({ config, tokenizer: student.tokenizer }, 'cpu');
  const options = bench.options(1, 0.3);
  const { captions, indices } = batch;
  const samples = { captions, indices, epoch: 0 };
  const losses = numbersOf(
    addGradients([collator.collate(batch, onePhase)], {
      ...options,
      step: { ...options.step, samples },
    }),
  );
  return { losses, gradients: gradients(bench) };
}

function tinyPreprocess() {
  const [student] = models;
  assert.ok(student);
  return student.preprocess;
}

async function replayedBatch(set: ReinforcedSet): Promise<Batch> {
  const { replay, augment } = set;
  const views = { image: augment };
  const options = { batchSize: 16, views, size: 16, seed: 2, workers: 0, replay };
  const loader = new Loader(source, options);
  const { value } = await loader.batches().next();
  await loader.close();
  return value;
}

const directories = [...teacherNames];

describe('a student of a reinforced set', () => {
  for (const [store, tolerance] of [
    ['fp32', 2e-5],
    ['bf16', 0.03],
  ] as const) {
    for (const type of ['distill', 'siclip'] as const) {
      it(`has the losses and gradients of one beside the teachers themselves: ${type}, ${store}`, async () => {
        const name = store === 'fp32' ? 'set' : 'set-bf16';
        if (store === 'bf16') await make(name, { store });
        using set = await ReinforcedSet.open(runs.path(name));
        const batch = await replayedBatch(set);
        const online = step({ type, teachers: directories }, batch);
        const stored = step({ type, reinforced: name }, batch, set);
        for (const [loss, value] of Object.entries(online.losses)) {
          const found = stored.losses[loss] ?? NaN;
          assert.ok(Math.abs(found - value) <= tolerance * Math.abs(value), `${loss} ${found}`);
        }
        assertAllClose(stored.gradients, online.gradients, { tolerance, what: store });
        // Other views have other embeddings.
        const views = batch.replayed?.views.map((view) => (view + 1) % 3) ?? Int32Array.of();
        const replayed = { views, captions: batch.replayed?.captions ?? views };
        const shifted = step({ type, reinforced: name }, { ...batch, replayed }, set);
        const [a = 0, b = 0] = [shifted.losses.feature, online.losses.feature];
        assert.ok(Math.abs(a - b) > 1e-3, `${a} is ${b}`);
      });
    }
  }
});

const fromSet = (name: string, changes: Partial<TrainOptions> = {}): Partial<TrainOptions> => ({
  data,
  strategy: { type: 'distill', reinforced: runs.path(name) },
  ...changes,
});

describe('training from a reinforced set', () => {
  it('ends with the same bytes when it is interrupted and resumed, with micro-batches too', async () => {
    for (const [kind, train] of Object.entries({
      plain: {},
      cached: { microBatch: 4, accumulate: 2 },
    })) {
      await runs.train(`${kind}-whole`, fromSet('set', { train }));
      await runs.trainInParts(`${kind}-parts`, fromSet('set', { train }), [2, 5]);
      assert.ok(runs.weights(`${kind}-parts`).equals(runs.weights(`${kind}-whole`)));
      const losses = (name: string) => readMetrics(runs.path(name)).map(({ loss }) => loss);
      assert.deepEqual(losses(`${kind}-parts`), losses(`${kind}-whole`));
    }
  });

  it('needs no teacher any more, and counts none of its operations', async () => {
    const teacher = runs.path('gone');
    cpSync(runs.path('alike', 'model'), teacher, { recursive: true });
    await make('of-gone', { teachers: [teacher] });
    rmSync(teacher, { recursive: true });
    const { steps } = await runs.train('taught', fromSet('of-gone'));
    assert.equal(steps, 12);
  });

  it('leaves out what was broken when the set was made', async () => {
    const spec = await writeTextures(runs.path('damaged'), 20);
    const path = runs.path('damaged', '9.jpg');
    const image = readFileSync(path);
    writeFileSync(path, image.subarray(0, 50));
    source = await openSource(spec);
    const { broken } = await make('partial').finally(async () => {
      source = await openSource(data);
    });
    assert.deepEqual(
      broken.map(({ key }) => key),
      ['9.jpg'],
    );
    writeFileSync(path, image);
    using set = await ReinforcedSet.open(runs.path('partial'));
    assert.deepEqual(set.broken, [9]);
    const { quarantined } = await runs.train('whole again', fromSet('partial', { data: spec }));
    assert.equal(quarantined, 0);
    const rows = { teacher: 0, indices: Int32Array.of(8, 9), which: Int32Array.of(2, 2) };
    const features = scope(() => Array.from(set.image(rows).toTypedArray(), Number));
    assert.ok(Math.abs(Math.hypot(...features.slice(0, 16)) - 1) < 1e-5);
    assert.equal(Math.hypot(...features.slice(16)), 0);
  });
});

describe('the making of a reinforced set', () => {
  it('has the same bytes when it is interrupted and resumed', async () => {
    for (const stop of [4, 8, 11]) {
      const controller = new AbortController();
      const part = await make('parts', {
        signal: controller.signal,
        onProgress: ({ done }) => {
          if (done >= stop) controller.abort();
        },
      });
      assert.equal(part.interrupted, true);
    }
    writeFileSync(runs.path('parts', 'block-00002.safetensors.1.tmp'), 'half');
    const { kept, written, interrupted } = await make('parts');
    assert.deepEqual({ kept, written, interrupted }, { kept: 16, written: 4, interrupted: false });
    assert.deepEqual(files('parts'), files('set'));
    assert.equal((await make('parts')).written, 0);
  });

  it('does not depend on threads', async () => {
    await make('threads', { workers: 1 });
    assert.deepEqual(files('threads'), files('set'));
  });
});

/** Damages of a copy of the set, and the error sentence of a training on it. */
const damages: readonly [string, (folder: string) => void, RegExp][] = [
  [
    'no set',
    (folder) => {
      rmSync(folder, { recursive: true });
    },
    /^There is no reinforced set in .* \(no reinforced\.json\); make one with "bantam data reinforce"\.$/,
  ],
  [
    'a missing block',
    (folder) => {
      rmSync(join(folder, 'block-00001.safetensors'));
    },
    /^The reinforced set in .* lacks block-00001\.safetensors; run the "bantam data reinforce" that started it again, which makes the missing blocks\.$/,
  ],
  [
    'a block that was cut off',
    (folder) => {
      const path = join(folder, 'block-00002.safetensors');
      truncateSync(path, readFileSync(path).length - 100);
    },
    /block-00002\.safetensors is cut off or damaged; delete it and run the "bantam data reinforce"/,
  ],
  [
    'a block of other records',
    (folder) => {
      cpSync(join(folder, 'block-00000.safetensors'), join(folder, 'block-00002.safetensors'));
    },
    /block-00002\.safetensors is cut off or damaged; delete it/,
  ],
  [
    'a manifest that is cut off',
    (folder) => {
      truncateSync(join(folder, 'reinforced.json'), 100);
    },
    /reinforced\.json is not JSON/,
  ],
  [
    'a set of another version',
    (folder) => {
      edit(folder, '"format": 1', '"format": 2');
    },
    /^The reinforced set in .* has the format 2, but this version reads 1; make it anew\.$/,
  ],
];

function edit(folder: string, from: string, to: string): void {
  const path = join(folder, 'reinforced.json');
  writeFileSync(path, readFileSync(path, 'utf8').replace(from, to));
}

async function refuses(promise: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof BantamError, String(error));
    assert.match(error.message, message);
    assert.equal(error.message.includes('\n'), false);
    return true;
  });
}

describe('a reinforced set that cannot be used', () => {
  for (const [what, damage, message] of damages) {
    it(`is refused in one sentence: ${what}`, async () => {
      const name = `copy of ${what}`;
      cpSync(runs.path('set'), runs.path(name), { recursive: true });
      damage(runs.path(name));
      await refuses(runs.train('refused', fromSet(name)), message);
    });
  }

  it('is refused for other data, changed captions, another augmentation and teachers beside it', async () => {
    const { data: folder } = runs.options('any');
    await refuses(
      runs.train('refused', fromSet('set', { data: folder })),
      /^The reinforced set in .*set was made of "csv:.*pairs\.csv", not of "folder:.*images"; train on/,
    );
    await refuses(
      runs.train('refused', fromSet('set', { augment: 'crop' })),
      /holds views of an augmentation of its own, so that no other can be set; leave the setting 'augment' out/,
    );
    const teachers = [runs.path('alike', 'model')];
    await refuses(
      runs.train('refused', {
        data,
        strategy: { type: 'siclip', teachers, reinforced: runs.path('set') },
      }),
      /^The strategy 'siclip' learns from teachers or from a reinforced set that holds their embeddings; leave out/,
    );
    const table = data.slice('csv:'.length);
    const text = readFileSync(table, 'utf8');
    writeFileSync(table, text.replaceAll('of image 3"', 'of images 3"'));
    await refuses(
      runs.train('refused', fromSet('set')),
      /^The records or captions of "csv:.*pairs\.csv" have changed since the reinforced set in .*set was made/,
    );
    writeFileSync(table, text);
  });

  it('is not resumed for a run that began with another', async () => {
    const controller = new AbortController();
    cpSync(runs.path('set'), runs.path('swapped'), { recursive: true });
    const { run } = await runs.train('began', {
      ...fromSet('swapped'),
      signal: controller.signal,
      onEvent: ({ kind }) => {
        if (kind === 'step') controller.abort();
      },
    });
    rmSync(runs.path('swapped'), { recursive: true });
    await make('swapped', { seed: 6 });
    await refuses(
      resumeTraining(run),
      /^The model in .*swapped is not the teacher that this run started with; restore that one/,
    );
  });

  it('is not mixed with one of other settings, other teachers or unknown files', async () => {
    await refuses(
      make('set', { seed: 6, captions: 4 }),
      /^The reinforced set in ".*set" was made with digest "\w+", seed 5, captions 2, but now digest "\w+", seed 6, captions 4 is asked for; give the same settings, or name another folder\.$/,
    );
    await refuses(
      make('set', { teachers: [runs.path('alike', 'model')] }),
      /was made with teachers \[.*\], but now teachers \[.*\] is asked for/,
    );
    cpSync(runs.path('set'), runs.path('nameless'), { recursive: true });
    rmSync(runs.path('nameless', 'reinforced.json'));
    await refuses(
      make('nameless'),
      /^The reinforced set in ".*nameless" was made with .* not known/,
    );
    truncateSync(runs.path('nameless', 'block-00000.safetensors'), 20);
    cpSync(runs.path('set', 'reinforced.json'), runs.path('nameless', 'reinforced.json'));
    await refuses(make('nameless'), /block-00000\.safetensors is cut off or damaged; delete it/);
  });

  it('is not begun without a teacher, with a broken one or if nothing can be written', async () => {
    await refuses(make('none', { teachers: [] }), /^A reinforced set needs a teacher/);
    await refuses(
      make('none', { teachers: [runs.path('nowhere')] }),
      /^The model in .*nowhere cannot be a teacher\. There is no folder .*nowhere/,
    );
    const file = runs.path('alike', 'config.json');
    await refuses(
      make(join('alike', basename(file), 'set')),
      /^The folder ".*set" for the reinforced set cannot be made \(a part of the path is a file, not a folder\); name another one\.$/,
    );
  });
});
