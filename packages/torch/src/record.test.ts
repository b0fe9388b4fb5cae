import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  add,
  add_,
  chunk,
  fromTypedArray,
  Generator,
  isRecording,
  onDevice,
  rand,
  record,
  reshape,
  scope,
  zeros,
} from './index.js';

describe('record', () => {
  it('lists operators with their arguments and results', () => {
    const recording = onDevice('meta', () =>
      record((open) => {
        const x = zeros([2, 4]);
        open.enter(x);
        const [left, right] = chunk(x, 2, 1);
        assert.ok(left && right);
        add(reshape(left, [4]), reshape(right, [4]));
      }),
    );
    assert.deepEqual(
      recording.calls.map(({ operator, results }) => [operator, results]),
      [
        ['aten::zeros', [0]],
        ['aten::chunk', [1, 2]],
        ['aten::reshape', [3]],
        ['aten::reshape', [4]],
        ['aten::add.Tensor', [5]],
      ],
    );
    assert.deepEqual(recording.calls[1]?.args, [{ tensor: 0 }, 2, 1]);
    assert.deepEqual(recording.calls[4]?.args, [{ tensor: 3 }, { tensor: 4 }]);
    assert.deepEqual(recording.tensors[3], { id: 3, dtype: 'float32', shape: [4] });
  });

  it('keeps the numbers of tensors that no recorded operator made, and works within scopes', () => {
    const numbers = fromTypedArray(Float32Array.of(1, 2));
    const recording = record(() => {
      scope(() => {
        add(add(numbers, 1), numbers);
      });
    });
    assert.deepEqual([...recording.values], [[0, Float32Array.of(1, 2)]]);
    assert.deepEqual(recording.calls[1]?.args, [{ tensor: 1 }, { tensor: 0 }]);
  });

  it('is known to run only while it runs', () => {
    assert.equal(isRecording(), false);
    record(() => {
      assert.equal(isRecording(), true);
    });
    assert.equal(isRecording(), false);
  });

  it('refuses changes in place, random numbers and a recording inside a recording', () => {
    const x = zeros([1]);
    const refuses = (body: () => void, message: RegExp) => {
      assert.throws(() => record(body), { name: 'TorchError', message });
      assert.equal(isRecording(), false);
    };
    refuses(() => void add_(x, 1), /aten::add_ changes its arguments/);
    refuses(
      () => void rand([1], new Generator({ seed: 0 })),
      /aten::uniform_ changes its arguments/,
    );
    refuses(() => void record(() => undefined), /open already/);
    assert.deepEqual(x.toArray(), [0]);
  });
});
