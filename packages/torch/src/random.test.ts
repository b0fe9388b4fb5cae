import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from './at.js';
import { dropout, Generator, mean, ones, rand, randn, RandomStreams } from './index.js';

describe('Generator', () => {
  it("gives PyTorch's numbers for a seed", () => {
    // torch.rand(3, generator=torch.Generator().manual_seed(0))
    const drawn = rand([3], new Generator({ seed: 0 })).toArray();
    const expected = [0.4962565899, 0.7682217956, 0.0884774327];
    for (const [i, value] of expected.entries()) {
      assert.ok(Math.abs(at(drawn, i) - value) < 1e-7);
    }
  });

  it('continues from a saved state', () => {
    const generator = new Generator({ seed: 4 });
    randn([7], generator);
    const state = generator.state();
    const next = randn([20], generator).toArray();
    generator.setState(state);
    assert.deepEqual(randn([20], generator).toArray(), next);
    const other = new Generator({ seed: 99 });
    other.setState(state);
    assert.deepEqual(randn([20], other).toArray(), next);
  });

  it('drops out with probability p and keeps the mean', () => {
    const x = dropout(ones([10_000]), 0.25, new Generator({ seed: 1 }));
    assert.deepEqual([...new Set(x.toArray())].sort(), [0, Math.fround(1 / 0.75)]);
    assert.ok(Math.abs(mean(x).item() - 1) < 0.02);
    const y = ones([2]);
    assert.equal(dropout(y, 0, new Generator()), y);
  });
});

describe('RandomStreams', () => {
  const draw = (streams: RandomStreams, name: string): number[] =>
    rand([4], streams.get(name)).toArray();

  it('are independent of each other and functions of seed and name', () => {
    const a = new RandomStreams({ seed: 1 });
    const b = new RandomStreams({ seed: 1 });
    draw(a, 'dropout');
    assert.deepEqual(draw(a, 'init'), draw(b, 'init'));
    assert.notDeepEqual(draw(a, 'mask'), draw(a, 'order'));
    assert.notDeepEqual(draw(new RandomStreams({ seed: 2 }), 'mask'), draw(b, 'mask'));
  });

  it('save and restore their states', () => {
    const streams = new RandomStreams({ seed: 3 });
    draw(streams, 'mask');
    draw(streams, 'dropout');
    const state = streams.state();
    assert.deepEqual(Object.keys(state), ['mask', 'dropout']);
    const next = [draw(streams, 'mask'), draw(streams, 'dropout')];
    const resumed = new RandomStreams({ seed: 3 });
    resumed.setState(state);
    assert.deepEqual([draw(resumed, 'mask'), draw(resumed, 'dropout')], next);
    const first = draw(resumed, 'order');
    resumed.setState(state);
    assert.deepEqual(draw(resumed, 'order'), first, 'a stream that was not used yet starts anew');
  });

  it('give rows of a whole the numbers that they have in it', () => {
    const whole = rand([5, 3], new RandomStreams({ seed: 3 }).get('mask')).toArray();
    const parts = [
      { start: 0, length: 2, total: 5 },
      { start: 2, length: 3, total: 5 },
    ].flatMap((rows) => {
      const streams = new RandomStreams({ seed: 3 });
      return streams.forRows(rows, () => rand([rows.length, 3], streams.get('mask')).toArray());
    });
    assert.deepEqual(parts, whole);
  });

  it('give several rows of each sample theirs, and go on as after the whole', () => {
    const streams = [1, 2].map(() => new RandomStreams({ seed: 4 }));
    const [one, other] = [at(streams, 0), at(streams, 1)];
    const whole = rand([6], one.get('mask')).toArray();
    const rows = { start: 1, length: 2, total: 3 };
    const part = other.forRows(rows, () => rand([4], other.get('mask')).toArray());
    assert.deepEqual(part, whole.slice(2));
    assert.deepEqual(draw(one, 'mask'), draw(other, 'mask'));
    assert.throws(
      () => other.forRows(rows, () => rand([3], other.get('mask'))),
      /Random numbers for 2 of 3 samples have a multiple of 2 rows/,
    );
  });
});
