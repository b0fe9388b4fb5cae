import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { autocast, grad, noGrad } from './autograd.js';
import { checkpoint } from './checkpoint.js';
import {
  availableDevices,
  deviceMemory,
  parseDevice,
  prepareDevice,
  resetDevicePeak,
  resolveDevice,
  synchronize,
  type Device,
} from './device.js';
import { setEmulatedLatency, takeEmulatedCounters } from './emulated-device.js';
import { Linear } from './nn/linear.js';
import { Module } from './nn/module.js';
import { Parameter, TensorBuffer } from './nn/parameter.js';
import { add, mul } from './ops/arithmetic.js';
import { empty, onDevice, ones, tensor, zeros, zerosLike } from './ops/create.js';
import { copy_, fill_ } from './ops/in-place.js';
import { linear, matmul } from './ops/matrix.js';
import { quickGelu } from './ops/neural.js';
import { bernoulli, normal_, rand, randn } from './ops/random.js';
import { sum } from './ops/reduce.js';
import { cat, channelsLast, reshape, to } from './ops/shape.js';
import { Generator } from './random.js';
import { loadSafetensors, saveSafetensors } from './safetensors.js';
import { fromTypedArray, type Tensor } from './tensor.js';

const device: Device = prepareDevice('emulated');

/** Rejects a message that is not one sentence. */
const sentence = (pattern: RegExp) => (error: Error) => {
  assert.match(error.message, pattern);
  assert.doesNotMatch(error.message, /\n|\.\s/);
  return true;
};

describe('names of devices', () => {
  it('have an index once they are usable', () => {
    assert.equal(prepareDevice('cpu'), 'cpu');
    assert.equal(prepareDevice('emulated'), 'emulated:0');
    assert.equal(prepareDevice('emulated:1'), 'emulated:1');
    assert.equal(zeros([1], { device: 'emulated' }).device, 'emulated:0');
  });

  it('that are none are refused in one sentence', () => {
    const unknown = /^There is no device '.*'; choose cpu, cuda, cuda:N or mps\.$/;
    for (const name of ['gpu', 'cuda:', 'cuda:-1', 'cuda:01', 'cpu:1', 'CUDA', '']) {
      assert.throws(() => parseDevice(name), sentence(unknown));
      assert.throws(() => resolveDevice(name), sentence(unknown));
    }
  });

  it('of devices that are not there are refused with those that are', () => {
    assert.throws(
      () => zeros([1], { device: 'emulated:2' }),
      sentence(/^There is no device 'emulated:2'; choose emulated:0 or emulated:1\.$/),
    );
  });

  it('of kinds that this machine lacks are refused with the remedy', (t) => {
    const there = availableDevices();
    const missing = (['cuda', 'mps'] as const).filter(
      (type) => !there.some((name) => name.startsWith(type)),
    );
    if (missing.length === 0) t.skip('both are here');
    for (const type of missing) {
      assert.throws(
        () => prepareDevice(type),
        sentence(new RegExp(`^Device '${type}' cannot be used: .*; choose 'cpu'(, or .*)?\\.$`)),
      );
    }
  });

  it('auto is the first GPU, or the CPU', () => {
    const [, gpu = 'cpu'] = availableDevices();
    assert.equal(resolveDevice('auto'), gpu);
  });
});

describe('tensors on a device', () => {
  it('are made there and come back unchanged', () => {
    const values = [1.5, -2, 3, 0.25];
    const made = tensor([values.slice(0, 2), values.slice(2)], { device });
    assert.equal(made.device, device);
    assert.deepEqual(made.toArray(), values);
    assert.deepEqual(fromTypedArray(Float32Array.from(values), { device }).toArray(), values);
    assert.deepEqual(fromTypedArray(Uint8Array.of(7), { device, copy: false }).toArray(), [7]);
    const bits = tensor(values, { dtype: 'bfloat16', device });
    assert.deepEqual(bits.toArray(), values);
    assert.equal(to(made, { device: 'cpu' }).device, 'cpu');
  });

  it('follow the default device and the tensor that they are like', () => {
    const made = onDevice(device, () => zeros([2]));
    assert.equal(made.device, device);
    assert.equal(zerosLike(made).device, device);
    assert.equal(zeros([2]).device, 'cpu');
  });

  it('of the second device are apart from those of the first', () => {
    const second = ones([2], { device: 'emulated:1' });
    assert.equal(second.device, 'emulated:1');
    assert.equal(mul(second, 2).device, 'emulated:1');
    assert.deepEqual(to(second, { device }).toArray(), [1, 1]);
    assert.throws(() => add(second, ones([2], { device })), /different devices/);
  });

  it('hold no number that nobody wrote', () => {
    assert.ok(Number.isNaN(empty([1], { device }).item()));
  });

  it('are saved without their device', () => {
    const folder = mkdtempSync(join(tmpdir(), 'bantam-device-'));
    try {
      const path = join(folder, 'x.safetensors');
      saveSafetensors(path, new Map([['x', tensor([1, 2], { device })]]));
      const { tensors } = loadSafetensors(path);
      assert.deepEqual(tensors.get('x')?.toArray(), [1, 2]);
      assert.equal(tensors.get('x')?.device, 'cpu');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('tensors on different devices', () => {
  const here = ones([2, 2], { device });
  const there = ones([2, 2]);
  const refused = sentence(
    /: its tensors are on different devices, '\w+' on (cpu|emulated:0) and '\w+' on (cpu|emulated:0); move them to one of them with to\(x, \{ device \}\)$/,
  );

  it('are refused by operators of libtorch', () => {
    assert.throws(() => add(here, there), refused);
    assert.throws(() => add(there, here), refused);
    assert.throws(() => matmul(here, there), refused);
    assert.throws(() => cat([here, there]), refused);
  });

  it('are refused by kernels of our own, whichever comes first', () => {
    assert.throws(() => linear(here, there), refused);
    assert.throws(() => linear(there, here), refused);
    assert.throws(() => linear(there, there, ones([2], { device })), refused);
  });

  it('are taken where one is a number, or a copy is asked for', () => {
    assert.deepEqual(add(here, tensor(1)).toArray(), [2, 2, 2, 2]);
    assert.deepEqual(copy_(zeros([2, 2]), here).toArray(), [1, 1, 1, 1]);
  });
});

describe('random numbers on a device', () => {
  it("of the CPU's generator are those of the CPU", () => {
    const sample = (target: Device): number[][] => {
      const generator = new Generator({ seed: 3 });
      const options = { device: target } as const;
      return [
        randn([5], generator, options).toArray(),
        rand([3], generator, options).toArray(),
        bernoulli(ones([9], options), 0.5, generator).toArray(),
        randn([4], generator, { ...options, dtype: 'bfloat16' }).toArray(),
      ];
    };
    assert.deepEqual(sample(device), sample('cpu'));
  });

  it("of the device's own generator repeat, and serve that device alone", () => {
    const generator = new Generator({ seed: 5, device });
    assert.equal(generator.device, device);
    const state = generator.state();
    const first = randn([4], generator, { device }).toArray();
    generator.setState(state);
    assert.deepEqual(randn([4], generator, { device }).toArray(), first);
    assert.throws(() => normal_(zeros([4]), generator), /generator/);
  });
});

describe('modules on a device', () => {
  class Pair extends Module {
    first: Parameter;
    again: Parameter;
    count: TensorBuffer;
    inner = new Linear({ inFeatures: 2, outFeatures: 2, generator: new Generator() });

    constructor() {
      super();
      this.first = new Parameter(ones([2]));
      this.again = this.first;
      this.count = new TensorBuffer(zeros([], { dtype: 'int64' }));
    }
  }

  it('move with buffers, shared parameters staying shared', () => {
    using pair = new Pair();
    const before = pair.inner.weight.toArray();
    pair.to({ device });
    assert.deepEqual(
      [...pair.parameters(), ...pair.namedBuffers().values()].map((member) => member.device),
      Array(4).fill(device),
    );
    assert.equal(pair.again, pair.first);
    assert.equal(pair.count.dtype, 'int64');
    assert.deepEqual(pair.inner.weight.toArray(), before);
    pair.to({ device: 'cpu', dtype: 'float64' });
    assert.equal(pair.first.device, 'cpu');
    assert.equal(pair.first.dtype, 'float64');
    assert.equal(pair.count.dtype, 'int64');
  });

  it('take weights of the CPU, and have gradients where they are', () => {
    const source = new Linear({ inFeatures: 2, outFeatures: 2, generator: new Generator() });
    const model = onDevice(
      device,
      () => new Linear({ inFeatures: 2, outFeatures: 2, generator: null }),
    );
    model.loadStateDict(source.stateDict());
    for (const module of [source, model]) {
      sum(module.forward(ones([3, 2], { device: module.weight.device }))).backward();
    }
    assert.equal(model.weight.grad?.device, device);
    assert.deepEqual(model.weight.grad.toArray(), source.weight.grad?.toArray());
  });

  it('have the same gradients with a gradient checkpoint, which samples the same', () => {
    const weight = new Parameter(ones([2, 2], { device }));
    const gradient = (again: boolean): number[] => {
      const generator = new Generator({ seed: 1 });
      const fn = (x: Tensor): Tensor =>
        mul(quickGelu(matmul(x, x)), randn([2, 2], generator, { device }));
      const [found = null] = grad([sum(again ? checkpoint(fn, [weight]) : fn(weight))], [weight]);
      return found?.toArray() ?? [];
    };
    const [plain, checkpointed] = [gradient(false), gradient(true)];
    assert.equal(plain.length, 4);
    assert.deepEqual(checkpointed, plain);
  });
});

describe('autocast of a device', () => {
  it('computes its products in bfloat16, and leaves those of the CPU alone', () => {
    const types = autocast(
      'bfloat16',
      () => [
        matmul(ones([2, 2], { device }), ones([2, 2], { device })).dtype,
        matmul(ones([2, 2]), ones([2, 2])).dtype,
      ],
      { device },
    );
    assert.deepEqual(types, ['bfloat16', 'float32']);
    assert.equal(matmul(ones([2, 2], { device }), ones([2, 2], { device })).dtype, 'float32');
  });
});

describe('memory of a device', () => {
  it('is what its tensors take, until they are disposed', () => {
    const before = deviceMemory(device);
    const block = zeros([1000], { device });
    const during = deviceMemory(device);
    block.dispose();
    const after = deviceMemory(device);
    assert.equal(during.allocated - before.allocated, 4000);
    assert.equal(before.free - during.free, 4000);
    assert.equal(after.allocated, before.allocated);
    assert.ok(after.peak >= during.allocated);
    resetDevicePeak(device);
    assert.equal(deviceMemory(device).peak, after.allocated);
    assert.throws(() => deviceMemory('cpu'), sentence(/^Device 'cpu' has no memory of its own/));
  });

  it('that is used up is refused in one sentence', () => {
    assert.throws(() => empty([2 ** 31], { device }), sentence(/out of memory/));
  });
});

describe('waiting for a device', () => {
  it('lets other code run, and has the values at the end', async () => {
    setEmulatedLatency(600);
    try {
      const x = fill_(zeros([3], { device }), 2);
      const start = performance.now();
      const waiting = Promise.all([x.read(), synchronize(device)]);
      const asked = performance.now() - start;
      let ticks = 0;
      const timer = setInterval(() => (ticks += 1), 5);
      const [values] = await waiting;
      clearInterval(timer);
      assert.deepEqual(Array.from(values, Number), [2, 2, 2]);
      assert.ok(performance.now() - start >= 595);
      assert.ok(asked < 300, `asking took ${asked} ms`);
      assert.ok(ticks >= 1, `${ticks} timers ran`);
    } finally {
      setEmulatedLatency(0);
    }
  });

  it('reads what was there when it was asked', async () => {
    const x = ones([2], { device });
    const reading = x.read();
    fill_(x, 7);
    x.dispose();
    await setTimeout(1);
    assert.deepEqual(Array.from(await reading, Number), [1, 1]);
  });

  it('is needed for item() and plain copies, not for uploads and random numbers', () => {
    const generator = new Generator();
    takeEmulatedCounters();
    const x = fromTypedArray(Float32Array.of(1, 2), { device });
    tensor([1, 2], { device });
    randn([2], generator, { device });
    to(ones([2]), { device, wait: false });
    noGrad(() => mul(x, 2));
    assert.deepEqual(
      { ...takeEmulatedCounters(), operators: 0 },
      { operators: 0, copiesIn: 4, copiesOut: 0, synchronizations: 0 },
    );
    to(ones([2]), { device });
    sum(x).item();
    assert.equal(takeEmulatedCounters().synchronizations, 2);
  });
});

describe('memory formats on a device', () => {
  it('stay channels-last through operators', () => {
    const x = channelsLast(reshape(rand([32], new Generator(), { device }), [1, 2, 4, 4]));
    assert.equal(x.isContiguous, false);
    assert.equal(mul(x, 2).isContiguous, false);
  });
});
