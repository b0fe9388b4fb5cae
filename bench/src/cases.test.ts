import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { baselinePrecision, cases, selectCases } from './cases.js';
import { describeSettings } from './settings-text.js';
import { changesFor, plainSettings, usualSettings } from './trials.js';

describe('selectCases', () => {
  it('selects all cases by *, each at most once', () => {
    assert.equal(selectCases(['*']).length, cases.length);
    assert.deepEqual(
      selectCases(['train/ViT-B-32/*', '*/ViT-B-32/fp32']).map(({ name }) => name),
      ['train/ViT-B-32/bf16', 'train/ViT-B-32/fp32', 'image/ViT-B-32/fp32', 'text/ViT-B-32/fp32'],
    );
  });

  it('takes characters of regular expressions literally', () => {
    assert.throws(() => selectCases(['train/ViT.B.32/bf16']), /No case matches "train\/ViT\.B\.32/);
  });

  it('refuses a glob that matches nothing', () => {
    assert.throws(() => selectCases(['load/csv', 'train/ViT-B-23/*']), {
      name: 'UsageError',
      message: /No case matches "train\/ViT-B-23\/\*"/,
    });
  });
});

describe('baselinePrecision', () => {
  it("is the case's own, and the fastest that there is beside int8", () => {
    assert.equal(baselinePrecision('fp32', undefined), 'fp32');
    assert.equal(baselinePrecision('bf16', 'avx2'), 'bf16');
    assert.equal(baselinePrecision('int8', undefined), 'bf16');
    assert.equal(baselinePrecision('int8', 'avx512_bf16'), 'bf16');
    assert.equal(baselinePrecision('int8', 'avx512'), 'fp32');
    assert.equal(baselinePrecision('int8', 'avx2'), 'fp32');
  });
});

describe('changesFor', () => {
  const optimizer = { lr: 1, beta1: 0, beta2: 0, eps: 1, weightDecay: 0 };
  const workload = {
    kind: 'image',
    precision: 'bf16',
    device: 'cpu',
    folder: '',
    optimizer,
  } as const;
  const names = (given: Parameters<typeof changesFor>[0], compile = false) =>
    changesFor(given, { compile }).map((change) =>
      describeSettings({ ...plainSettings, ...change }),
    );

  it('tries bf16 weights only where training does not need fp32 ones', () => {
    assert.ok(names(workload).includes('bf16 weights'));
    assert.ok(!names({ ...workload, precision: 'fp32' }).includes('bf16 weights'));
    assert.ok(!names({ ...workload, kind: 'train' }).includes('bf16 weights'));
  });

  it('keeps fp32 weights in training where no trials are made', () => {
    assert.equal(
      describeSettings(usualSettings({ ...workload, kind: 'train' })),
      'fused AdamW, plain attention',
    );
    assert.equal(describeSettings(usualSettings(workload)), 'bf16 weights, plain attention');
    assert.equal(describeSettings(usualSettings({ ...workload, precision: 'fp32' })), 'defaults');
  });

  it("keeps a GPU's own attention where no trials are made", () => {
    const onGpu = { ...workload, device: 'cuda:0' };
    assert.equal(describeSettings(usualSettings({ ...onGpu, kind: 'train' })), 'fused AdamW');
    assert.equal(describeSettings(usualSettings(onGpu)), 'bf16 weights');
  });

  it('compiles only when asked', () => {
    assert.ok(!names(workload).includes('torch.compile'));
    assert.ok(names(workload, true).includes('torch.compile'));
  });
});
