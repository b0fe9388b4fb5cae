import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { at } from '@bantam/torch';
import { activationBytes, modelConfig, modelFlops, parameterCount } from '../../models/index.js';
import { TinyRuns } from '../../test-support/tiny-runs.js';
import { readRunConfig } from '../run-dir/paths.js';
import { train } from '../train.js';
import { World } from '../world/world.js';
import { distributedStep, fittingMicroBatch, type DeviceCluster } from './distributed-step.js';
import { RecordingGroup } from './recording-group.js';

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
    // B² similarities of d multiply-adds, and two products backwards; in parts twice.
    assert.equal(whole.flops.similarities, 3 * 2 * 96 * 96 * embedDim);
    const large = distributedStep({ ...work, batchSize: 4096 }, cluster);
    assert.equal(large.flops.similarities, 4 * 2 * 4096 ** 2 * embedDim);
    for (const devices of [2, 3, 8]) {
      const { flops, samples } = distributedStep(work, { ...cluster, devices });
      assert.equal(samples, 96 / devices);
      assert.equal(flops.towers * devices, whole.flops.towers);
      assert.equal(flops.similarities, whole.flops.similarities);
      const local = distributedStep({ ...work, losses: 'local' }, { ...cluster, devices });
      assert.equal(local.flops.similarities, 3 * 2 * 2 * samples * 96 * embedDim);
    }
  });

  it('sends what a ring sends', () => {
    for (const devices of [2, 3, 8]) {
      const { sent } = distributedStep({ ...work, losses: 'local' }, { ...cluster, devices });
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
    // A network that costs nothing leaves the products' time; one that costs all leaves nothing else.
    const fast = { ...cluster, devices: 2, linkRate: 1e18, latency: 0 };
    const { exposed, total } = distributedStep(work, fast).seconds;
    assert.ok(exposed < 1e-6 * total);
    const slow = distributedStep(work, { ...cluster, devices: 8, networkRate: 1 });
    const { sent, seconds } = slow;
    const bytes = sent.features + sent.featureGradients + sent.gradients;
    assert.ok(Math.abs(seconds.communication / bytes - 1) < 1e-3);
    assert.ok(slow.efficiency < 1e-3);
  });

  it('hides gradients behind the backward pass if they overlap, all but one bucket', () => {
    const large = { ...work, model: modelConfig('ViT-B-32'), batchSize: 4096 };
    const devices = { ...cluster, devices: 8, networkRate: 1e9, latency: 0 };
    const { sent, seconds } = distributedStep(large, devices);
    const after = distributedStep({ ...large, overlap: false }, devices).seconds;
    assert.equal(after.communication, seconds.communication);
    const saved = after.exposed - seconds.exposed;
    const bucket = 2 * (7 / 8) * 25 * 2 ** 20;
    assert.ok(Math.abs(saved - (sent.gradients - bucket) / 1e9) < 1e-9, `${saved}`);
  });

  it('waits for every message of a collective', () => {
    const far = { ...cluster, devices: 8, linkRate: 1e18, networkRate: 1e18, latency: 1 };
    // Three levels of a tree: six gathers and a broadcast once, three sums twice.
    const tree = distributedStep(work, far).seconds.exposed;
    assert.ok(Math.abs(tree - (6 + 1 + 6) * 3) < 1e-6, `${tree}`);
    // Seven hops of a ring. Of the gradients' bucket, 25 MiB, four segments of each device pass through seven,
    // two at a time, twice; a message waits for its receiver.
    const ring = distributedStep(work, { ...far, route: 'ring' }).seconds.exposed;
    const gradients = 2 * 2 * ((4 * 7) / 2);
    assert.ok(Math.abs(ring - (6 * 2 * 7 + 2 * 2 * 7 + 2 * 3 + gradients)) < 1e-6, `${ring}`);
  });

  it('uses the network only between machines', () => {
    const within = distributedStep(work, { ...cluster, devices: 4 });
    const between = distributedStep(work, { ...cluster, devices: 8 });
    assert.ok(between.seconds.communication > 8 * within.seconds.communication);
  });
});

describe('a training by 512 processes', () => {
  it('sends what the model of its step says', async () => {
    const runs = new TinyRuns();
    await runs.make();
    try {
      mkdirSync(runs.path('cards'));
      const rows = Array.from({ length: 1024 }, (_, i) => {
        copyFileSync(runs.path('images', 'red', '0.png'), runs.path('cards', `${i}.png`));
        return `cards/${i}.png,a card`;
      });
      writeFileSync(runs.path('pairs.csv'), ['image,caption', ...rows].join('\n'));
      const group = new RecordingGroup(512);
      const ends: number[] = [];
      await train({
        ...runs.options('many', { budget: '3072samples', train: { batchSize: 1024 } }),
        data: `csv:${runs.path('pairs.csv')}`,
        world: new World(group, { localSize: 8 }),
        onEvent: ({ kind }) => {
          if (kind === 'step') ends.push(group.collectives.length);
        },
      });
      const step = distributedStep(
        { model: readRunConfig(runs.path('many')).model, batchSize: 1024 },
        { ...cluster, devices: 512 },
      );
      // From the report of one step to that of the next.
      const calls = group.collectives.slice(at(ends, 0), at(ends, 1));
      const count = (...kinds: string[]) => calls.filter(({ kind }) => kinds.includes(kind)).length;
      assert.deepEqual(
        {
          gathers: count('gather'),
          sums: count('sum', 'max', 'min'),
          broadcasts: count('broadcast'),
        },
        step.collectives,
      );
      const bytes = (wanted: string, dtype: string, most: number) =>
        calls
          .flatMap(({ kind, tensors }) => (kind === wanted ? tensors.slice(-most) : []))
          .reduce((sum, tensor) => sum + (tensor.dtype === dtype ? tensor.bytes : 0), 0);
      assert.equal(511 * bytes('gather', 'float32', 1), step.sent.features);
      assert.equal(((2 * 511) / 512) * bytes('sum', 'float32', 1), step.sent.gradients);
      assert.equal(step.samples, 2);
    } finally {
      runs.remove();
    }
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
