import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { activationBytes, modelConfig, modelFlops, parameterCount } from '../../models/index.js';
import { distributedStep, fittingMicroBatch, type DeviceCluster } from './distributed-step.js';

const model = modelConfig('ViT-Nano-16-64');
const cluster: DeviceCluster = {
  devices: 1,
  devicesPerMachine: 4,
  peakFlops: 1e12,
  utilization: 0.5,
  memoryBytes: 1e9,
  linkRate: 1e9,
  networkRate: 1e8,
  latency: 1e-5,
};
const work = { model, batchSize: 96, captionTokens: 12 };
const { embedDim } = model;
const { image, text } = modelFlops(model, { captionTokens: 12 });
const parameters = parameterCount(model).total;

/** Bytes that a member of a ring sends until all have the sum of all: whole parts, passed on one by one. */
function simulateRing(devices: number, bytes: number, rounds: 'gather' | 'sum'): number {
  const part = bytes / devices;
  let sent = 0;
  // A sum is scattered and then gathered.
  for (let pass = 0; pass < (rounds === 'sum' ? 2 : 1); pass++) {
    for (let step = 1; step < devices; step++) sent += part;
  }
  return sent;
}

describe('distributedStep', () => {
  it('computes the same FLOPs on any number of devices, and each its part', () => {
    const whole = distributedStep(work, cluster);
    assert.equal(whole.flops.towers, 3 * (image + text) * 96);
    // b·B similarities of d multiply-adds in two directions, and two products backwards for each.
    assert.equal(whole.flops.similarities, 2 * (2 * 96 * 96 * embedDim) * 3);
    for (const devices of [2, 3, 8]) {
      const { flops, samples } = distributedStep(work, { ...cluster, devices });
      assert.equal(samples, 96 / devices);
      assert.equal(flops.towers * devices, whole.flops.towers);
      assert.equal(flops.similarities * devices, whole.flops.similarities);
    }
  });

  it('sends what a ring sends', () => {
    for (const devices of [2, 3, 8]) {
      const { sent } = distributedStep(work, { ...cluster, devices });
      const features = 2 * 96 * embedDim * 4;
      const close = (actual: number, expected: number) => {
        assert.ok(Math.abs(actual / expected - 1) < 1e-12, `${actual}, not ${expected}`);
      };
      close(sent.features, simulateRing(devices, features, 'gather'));
      close(sent.featureGradients, simulateRing(devices, features, 'gather'));
      close(sent.gradients, simulateRing(devices, 4 * parameters, 'sum'));
    }
    assert.deepEqual(Object.values(distributedStep(work, cluster).sent), [0, 0, 0]);
  });

  it('keeps the activations of a micro-batch, and computes features twice for it', () => {
    const activations = activationBytes(model, { captionTokens: 12 });
    const { memory, flops } = distributedStep({ ...work, microBatch: 24 }, cluster);
    assert.equal(memory.activations, ((activations.image + activations.text) / 2) * 24);
    assert.equal(flops.towers, 4 * (image + text) * 96);
    assert.equal(memory.optimizer, 8 * parameters);
    const { total, ...parts } = memory;
    assert.equal(
      Object.values(parts).reduce((sum, bytes) => sum + bytes, 0),
      total,
    );
  });

  it('shares the moments out where they are sharded', () => {
    const devices = { ...cluster, devices: 8 };
    const { memory } = distributedStep({ ...work, shardedOptimizer: true }, devices);
    assert.equal(memory.optimizer, parameters);
  });

  it('takes the time of the products, and of what they do not hide', () => {
    const alone = distributedStep(work, cluster);
    const products = (alone.flops.towers + alone.flops.similarities) / 0.5e12;
    assert.deepEqual(alone.seconds, {
      compute: products,
      communication: 0,
      exposed: 0,
      total: products,
    });
    assert.equal(alone.efficiency, 1);
    // A network that costs nothing hides nothing; one that costs all leaves the products' time.
    const fast = { ...cluster, devices: 2, linkRate: 1e18, latency: 0 };
    assert.ok(distributedStep(work, fast).efficiency > 0.999999);
    const slow = distributedStep(work, { ...cluster, devices: 8, networkRate: 1 });
    const { sent, seconds } = slow;
    const bytes = sent.features + sent.featureGradients + sent.gradients;
    assert.ok(Math.abs(seconds.communication / bytes - 1) < 1e-3);
    assert.ok(slow.efficiency < 1e-3);
  });

  it('uses the network only between machines', () => {
    const within = distributedStep(work, { ...cluster, devices: 4 });
    const between = distributedStep(work, { ...cluster, devices: 8 });
    assert.ok(between.seconds.communication > 8 * within.seconds.communication);
  });
});

describe('fittingMicroBatch', () => {
  it('is the largest that fits', () => {
    const bytes = (microBatch: number) =>
      distributedStep({ ...work, microBatch }, cluster).memory.total;
    for (const microBatch of [96, 24, 1]) {
      const memoryBytes = bytes(microBatch);
      assert.equal(fittingMicroBatch(work, { ...cluster, memoryBytes }), microBatch);
    }
    const memoryBytes = bytes(24) - 1;
    assert.equal(fittingMicroBatch(work, { ...cluster, memoryBytes }), 12);
  });

  it('is 0 if the weights alone do not fit', () => {
    assert.equal(fittingMicroBatch(work, { ...cluster, memoryBytes: 1e6 }), 0);
  });
});
