import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { compare } from './agreement.js';
import { openModelWorkload } from './bantam-workloads.js';
import { prepare } from './prepare.js';

const optimizer = { lr: 1e-3, beta1: 0.9, beta2: 0.98, eps: 1e-6, weightDecay: 0.1 };

describe('openModelWorkload', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bantam-workload-'));
    await prepare({
      op: 'prepare',
      folder,
      model: 'ViT-Nano-16-64',
      batch: 4,
      batches: 2,
      vocabulary: null,
    });
  });
  after(() => rm(folder, { recursive: true }));

  it('trains: the losses of its first steps are finite and differ', async () => {
    const workload = await openModelWorkload({
      kind: 'train',
      precision: 'fp32',
      device: 'cpu',
      folder,
      optimizer,
    });
    const { losses = [] } = await workload.check();
    assert.equal(losses.length, 3);
    assert.ok(losses.every(Number.isFinite));
    assert.equal(new Set(losses).size, 3);
    assert.ok((await workload.run(1)).seconds > 0);
  });

  it('has the losses and features of the CPU on another device', async () => {
    for (const kind of ['train', 'image', 'text'] as const) {
      const [cpu, other] = await Promise.all(
        ['cpu', 'emulated'].map(async (device) => {
          const request = { kind, precision: 'fp32', device, folder, optimizer } as const;
          const workload = await openModelWorkload(request);
          const checked = await workload.check();
          assert.ok((await workload.run(2)).seconds > 0);
          return checked;
        }),
      );
      assert.ok(cpu && other);
      const { agrees, differences } = compare(other, cpu, 'fp32');
      assert.ok(agrees, JSON.stringify(differences));
    }
  });

  for (const kind of ['image', 'text'] as const) {
    it(`computes normalised features of the first batch: ${kind}`, async () => {
      const workload = await openModelWorkload({
        kind,
        precision: 'fp32',
        device: 'cpu',
        folder,
        optimizer,
      });
      const { features = '' } = await workload.check();
      const bytes = Buffer.from(features, 'base64');
      const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
      const width = values.length / 4;
      for (let row = 0; row < 4; row++) {
        const norm = Math.hypot(...values.subarray(row * width, (row + 1) * width));
        assert.ok(Math.abs(norm - 1) < 1e-5, `row ${row} has length ${norm}`);
      }
    });
  }
});
