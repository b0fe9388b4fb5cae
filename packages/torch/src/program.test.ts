import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  add,
  add_,
  at,
  autocast,
  cat,
  copy_,
  Generator,
  linear,
  linearPacked,
  memoryStats,
  mul,
  narrow,
  noGrad,
  packLinear,
  Program,
  randn,
  relu,
  scope,
  tensor,
  unbind,
  type Tensor,
} from './index.js';

const generator = new Generator({ seed: 1 });

/** A computation with weights, a list as argument and as result, and a constant. */
function body(x: Tensor, weight: Tensor): Tensor {
  const [first, second] = unbind(linear(x, weight), 0);
  assert.ok(first && second);
  return mul(cat([relu(first), second, tensor([1, 2, 3])]), 2);
}

/** True if there is a program of a computation of one tensor. */
function isRecorded(compute: (x: Tensor) => Tensor): boolean {
  return scope(() => {
    const x = randn([2, 3], generator);
    return Program.record([x], () => [compute(x)]).program !== null;
  });
}

describe('Program', () => {
  it('computes for other inputs what its body would, and sees changes of the weights', () => {
    scope(() => {
      const weight = randn([3, 4], generator);
      const x = randn([2, 4], generator);
      const { outputs, program } = Program.record([x], () => [body(x, weight)]);
      assert.ok(program);
      const expected = noGrad(() => body(x, weight)).toArray();
      assert.deepEqual(at(outputs, 0).toArray(), expected);
      for (let i = 0; i < 3; i++) {
        const other = randn([2, 4], generator);
        assert.deepEqual(
          at(program.run([other]), 0).toArray(),
          noGrad(() => body(other, weight)).toArray(),
        );
        noGrad(() => copy_(weight, randn([3, 4], generator)));
      }
    });
  });

  it('runs each operator under the autocast that it was recorded under', () => {
    scope(() => {
      const weight = randn([3, 4], generator);
      const x = randn([2, 4], generator);
      const compute = (x: Tensor): Tensor[] => {
        const half = autocast('bfloat16', () => linear(x, weight));
        return [half, linear(x, weight)];
      };
      const { program } = Program.record([x], () => compute(x));
      assert.ok(program);
      const [half, full] = program.run([x]);
      const [wantedHalf, wantedFull] = noGrad(() => compute(x));
      assert.equal(half?.dtype, 'bfloat16');
      assert.deepEqual(half.toArray(), wantedHalf?.toArray());
      assert.deepEqual(full?.toArray(), wantedFull?.toArray());
    });
  });

  it('gives the bits of single calls where threads divide operators among themselves', () => {
    scope(() => {
      const layers = Array.from({ length: 12 }, () => {
        const weight = packLinear(mul(randn([192, 192], generator), 0.1));
        return { weight, bias: randn([192], generator) };
      });
      const compute = (x: Tensor): Tensor[] => [
        layers.reduce((y, layer) => relu(linearPacked(y, layer, y)), x),
      ];
      const first = randn([24, 192], generator);
      const { program } = Program.record([first], () => compute(first));
      for (let i = 0; i < 50; i++) {
        scope(() => {
          const x = randn([24, 192], generator);
          const expected = noGrad(() => at(compute(x), 0).toArray());
          assert.deepEqual(at(program?.run([x]) ?? [], 0).toArray(), expected);
        });
      }
    });
  });

  it('frees what it makes', () => {
    scope(() => {
      const weight = randn([3, 4], generator);
      const x = randn([2, 4], generator);
      const { program } = scope(() => {
        const { program } = Program.record([x], () => [body(x, weight)]);
        return { program };
      });
      const before = memoryStats();
      for (let i = 0; i < 3; i++) scope(() => program?.run([x]) && undefined);
      const { liveTensors, liveBytes } = memoryStats();
      assert.deepEqual([liveTensors, liveBytes], [before.liveTensors, before.liveBytes]);
    });
  });

  it('is none where another run could differ', () => {
    const other = randn([2, 3], generator);
    assert.equal(
      isRecorded((x) => add(x, 1)),
      true,
    );
    assert.equal(
      isRecorded((x) => add(x, at(x.toArray(), 0))),
      false,
    );
    assert.equal(
      isRecorded((x) => add(x, randn([2, 3], generator))),
      false,
    );
    assert.equal(
      isRecorded((x) => {
        copy_(other, x);
        return add(x, other);
      }),
      false,
    );
    assert.equal(
      isRecorded((x) => {
        add_(narrow(other, 0, 0, 1), 1);
        return add(x, other);
      }),
      false,
    );
    assert.equal(
      isRecorded((x) => add_(x, 1)),
      false,
    );
    assert.equal(
      isRecorded((x) => add_(narrow(add(x, other), 0, 0, 1), 1)),
      true,
    );
    assert.equal(
      isRecorded(() => other),
      false,
    );
  });

  it('refuses inputs of another shape or type, and ends a recording that fails', () => {
    scope(() => {
      const x = randn([2, 3], generator);
      assert.throws(
        () =>
          Program.record([x], () => {
            throw new RangeError('no body');
          }),
        /no body/,
      );
      assert.throws(
        () =>
          Program.record([x], () => {
            const y = add(x, 1);
            y.dispose();
            return [y];
          }),
        /after it was disposed/,
      );
      const { program } = Program.record([x], () => [add(x, 1)]);
      assert.throws(
        () => program?.run([randn([3, 2], generator)]),
        /input 1 has another shape, type or device than the recorded one/,
      );
      assert.throws(() => program?.run([]), /takes 1 tensors, not 0/);
      program?.dispose();
      assert.throws(() => program?.run([x]), /the program was disposed before this use/);
    });
  });
});
