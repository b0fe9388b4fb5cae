import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Generator, noGrad, copy_, tensor } from '@bantam/torch';
import { channelStatistics, createModel, upcycle, type ModelConfig } from '../../models/index.js';
import { addGradients } from './gradients.js';
import type { StrategyInput } from '../strategies/index.js';
import type { Strategy } from '../strategies/strategy.js';
import {
  addWithWholeGraph,
  assertAllClose,
  type Bench,
  buffers,
  captioning,
  createBench,
  cut,
  gradients,
  masked,
  maskless,
  numbersOf,
  residual,
} from '../../test-support/strategy-bench.js';
import { createTeacherModel } from '../../test-support/teachers.js';

/** Every loss with its variants. */
const losses = [
  { type: 'softmax' },
  { type: 'softmax', duplicates: 'positives', chunk: 3 },
  { type: 'sigmoid', duplicates: 'positives', chunk: 3 },
  { type: 'global', version: 'v1' },
  { type: 'global', version: 'v2' },
  { type: 'global', version: 'v3' },
] as const;

/** Every strategy whose features come from both towers; `siglip` and `fastclip` are `clip` with another loss. */
const kinds = [
  { type: 'clip' },
  { type: 'clip-da' },
  { type: 'slip', headWidth: 10, headDim: 6 },
  { type: 'flip' },
  { type: 'clipa' },
  { type: 'clipa', imageSize: 12, maskRatio: 0.3 },
  { type: 'lit', storeFeatures: false },
  { type: 'distill', teachers: ['like the student', 'of another width and size'] },
  { type: 'siclip', teachers: ['like the student'], negatives: 'assignment' },
  { type: 'coca' },
] as const;

type Kind = (typeof kinds)[number];

/** In the order in which strategies name them. */
const teachers = [
  createTeacherModel({ seed: 11 }),
  createTeacherModel({ seed: 12, embedDim: 9, imageSize: 20, preprocess: channelStatistics.unit }),
];
const modelsOf = (kind: Kind) => teachers.slice(0, 'teachers' in kind ? kind.teachers.length : 0);

/** A model that the strategy can train. */
function modelFor({ type }: { type: string }, config: ModelConfig): ModelConfig {
  return type === 'coca' ? captioning(config) : config;
}

const partitions = [
  [4, 4],
  [3, 1, 4],
];

/** Gives samples estimates from before, but for two. */
function setEstimates({ strategy }: Bench): void {
  for (const [name, buffer] of strategy.module?.namedBuffers() ?? []) {
    if (!name.includes('log_u')) continue;
    const before = Array.from({ length: 10 }, (_, i) => (i === 5 || i === 8 ? -Infinity : 0.1 * i));
    noGrad(() => copy_(buffer, tensor(before)));
  }
}

/** One step on each of two equal benches; returns both. */
function compare(
  make: () => Bench,
  steps: readonly [(bench: Bench) => void, (bench: Bench) => void],
): [Bench, Bench] {
  const [actual, expected] = [make(), make()];
  for (const [i, bench] of [actual, expected].entries()) {
    setEstimates(bench);
    steps[i]?.(bench);
    noGrad(() => bench.strategy.afterStep?.());
  }
  return [actual, expected];
}

function assertSame([actual, expected]: [Bench, Bench], tolerance: number, what: string): void {
  assertAllClose(gradients(actual), gradients(expected), { tolerance, what });
  assertAllClose(buffers(actual), buffers(expected), { tolerance, what });
}

const cached = (sizes: readonly number[]) => (bench: Bench) => {
  addGradients(cut(bench.batch, sizes), bench.options(4, 0.3));
};
const withWholeGraph = (sizes: readonly number[]) => (bench: Bench) => {
  addWithWholeGraph(cut(bench.batch, sizes), bench.options(4, 0.3));
};
const plain = (bench: Bench): void => {
  addGradients(cut(bench.batch, [8]), bench.options(4, 0.3));
};
const checkpointed = (sizes: readonly number[]) => (bench: Bench) => {
  addGradients(cut(bench.batch, sizes), { ...bench.options(4, 0.3), gradCheckpointing: true });
};

describe('addGradients', () => {
  for (const kind of kinds) {
    it(`in micro-batches is exact under masks: ${JSON.stringify(kind)}`, () => {
      for (const loss of losses) {
        for (const sizes of partitions) {
          const both = compare(
            () =>
              createBench(
                { ...kind, loss },
                { config: modelFor(kind, masked), models: modelsOf(kind) },
              ),
            [cached(sizes), withWholeGraph(sizes)],
          );
          const what = JSON.stringify({ loss, sizes });
          assertSame(both, 1e-9, what);
          const [actual, expected] = both;
          assert.deepEqual(actual.streams.state(), expected.streams.state(), what);
          const found = [...gradients(actual)].filter(([, values]) => values?.some((x) => x !== 0));
          assert.ok(found.length > (kind.type === 'lit' ? 10 : 25), `${found.length} gradients`);
        }
      }
    });
  }

  for (const kind of kinds.filter((kind) => kind.type !== 'flip' && !('maskRatio' in kind))) {
    it(`in micro-batches equals the whole batch if nothing is masked: ${JSON.stringify(kind)}`, () => {
      for (const loss of losses) {
        const make = () =>
          createBench(
            { ...kind, loss },
            { config: modelFor(kind, maskless), models: modelsOf(kind) },
          );
        // Positions are interpolated in single precision.
        const tolerance = kind.type === 'clipa' ? 1e-6 : 1e-9;
        assertSame(compare(make, [cached([3, 1, 4]), plain]), tolerance, loss.type);
      }
    });
  }

  for (const kind of kinds) {
    it(`computes activations again without changing a bit: ${JSON.stringify(kind)}`, () => {
      for (const loss of ['softmax', 'global'] as const) {
        const make = () =>
          createBench(
            { ...kind, loss },
            { config: modelFor(kind, masked), models: modelsOf(kind) },
          );
        for (const sizes of [[8], [3, 1, 4]]) {
          const [actual, expected] = compare(make, [checkpointed(sizes), cached(sizes)]);
          assertSame([actual, expected], 0, sizes.join());
          assert.deepEqual(actual.streams.state(), expected.streams.state());
        }
      }
    });
  }

  it('in micro-batches is exact for the losses of siglip and fastclip', () => {
    for (const type of ['siglip', 'fastclip'] as const) {
      const make = () => createBench(type, { config: maskless });
      assertSame(compare(make, [cached([3, 1, 4]), plain]), 1e-9, type);
    }
  });

  it('samples the same masks in both passes, also from a stream that was used before', () => {
    const make = (): Bench => {
      const bench = createBench('flip');
      addGradients(cut(bench.batch, [3, 5]), bench.options(1, 0));
      return bench;
    };
    const sizes = [5, 3];
    assertSame(compare(make, [cached(sizes), withWholeGraph(sizes)]), 1e-9, 'second step');
  });

  for (const type of ['clip', 'slip'] as const) {
    it(`updates statistics of batch norms once per micro-batch: ${type}`, () => {
      const settings: StrategyInput = type === 'slip' ? { type, headWidth: 10, headDim: 6 } : type;
      for (const sizes of partitions) {
        const make = () => createBench(settings, { config: residual });
        const both = compare(make, [cached(sizes), withWholeGraph(sizes)]);
        assertSame(both, 1e-9, sizes.join());
        const views = type === 'slip' ? 3 : 1;
        const passes = new Map([...buffers(both[0])].filter(([name]) => name.endsWith('tracked')));
        assert.ok(passes.size > 10);
        for (const [name, count] of passes) {
          // The head sees the whole batch, once for each of its two views.
          const expected = name.startsWith('layers.') ? 2 : views * sizes.length;
          assert.deepEqual(count, [expected], name);
        }
      }
    });
  }

  it('leaves an image tower that is locked unchanged, batch norms included', () => {
    const bench = createBench({ type: 'lit', storeFeatures: false }, { config: residual });
    const before = buffers(bench);
    plain(bench);
    cached([3, 5])(bench);
    assert.deepEqual(buffers(bench), before);
    const names = [...gradients(bench)].flatMap(([name, values]) => (values === null ? [] : name));
    assert.ok(names.length > 10);
    assert.ok(names.every((name) => !name.startsWith('visual.')));
  });

  it("counts routers' losses of all micro-batches", () => {
    // Routers compute in single precision. The samples of a micro-batch decide on the routing.
    const sizes = [3, 5];
    const make = (): Bench => {
      const generator = new Generator({ seed: 6 });
      using dense = createModel(maskless, { generator });
      const model = upcycle(dense, { vision: { experts: 3 }, text: { experts: 3 }, generator });
      return createBench('clip', { config: model.config, dtype: 'float32', model });
    };
    const both = compare(make, [cached(sizes), withWholeGraph(sizes)]);
    assertSame(both, 1e-5, 'routers');
    const routers = [...gradients(both[0])].filter(([name]) => name.includes('router'));
    assert.equal(routers.length, 2);
    for (const [name, values] of routers)
      assert.ok(
        values?.some((x) => x !== 0),
        name,
      );
  });

  it('asks for targets once per micro-batch, without gradient', () => {
    for (const sizes of [[8], ...partitions]) {
      const bench = createBench(
        { type: 'distill', teachers: ['one'] },
        { models: teachers.slice(0, 1) },
      );
      const asked: number[] = [];
      const targets: Strategy['targets'] = (batch, context) => {
        asked.push(batch.captions.length);
        const made = bench.strategy.targets?.(batch, context) ?? {};
        for (const target of Object.values(made)) assert.equal(target.requiresGrad, false);
        return made;
      };
      const options = bench.options(1, 0);
      addGradients(cut(bench.batch, sizes), {
        ...options,
        strategy: { ...bench.strategy, targets },
      });
      assert.deepEqual(asked, sizes);
    }
    const learnt = teachers.flatMap(({ model }) => model.parameters()).filter(({ grad }) => grad);
    assert.deepEqual(learnt, [], 'teachers get no gradient');
  });

  it('returns the same losses by name', () => {
    const make = () =>
      createBench({ type: 'slip', headWidth: 10, headDim: 6 }, { config: maskless });
    const [whole, parts] = [[8], [3, 5]].map((sizes) => {
      const bench = make();
      return numbersOf(addGradients(cut(bench.batch, sizes), bench.options(1, 0)));
    });
    assert.deepEqual(Object.keys(whole ?? {}), ['contrastive', 'ssl']);
    for (const [name, value] of Object.entries(whole ?? {})) {
      assert.ok(Math.abs(value - (parts?.[name] ?? NaN)) < 1e-12, name);
    }
  });
});
