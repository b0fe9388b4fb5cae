import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { tensor } from '@bantam/torch';
import { listCheckpoints, readCheckpoint, writeCheckpoint, type Checkpoint } from './checkpoint.js';

function checkpointAt(step: number): Checkpoint {
  return {
    state: {
      step,
      spent: { seconds: step / 2, samples: step * 4, flops: 0 },
      epoch: 1,
      position: 8,
      streams: { init: 'AQID' },
      loss: 1.5,
    },
    tensors: { model: new Map([['weight', tensor([step, 2, 3])]]) },
  };
}

describe('checkpoints', () => {
  let run = '';
  beforeEach(() => {
    run = mkdtempSync(join(tmpdir(), 'bantam-checkpoint-'));
  });
  afterEach(() => {
    rmSync(run, { recursive: true, force: true });
  });

  it('come back as they were written', () => {
    const path = writeCheckpoint(run, checkpointAt(7), 2);
    const { state, tensors } = readCheckpoint(path, ['model']);
    assert.deepEqual(state, checkpointAt(7).state);
    assert.deepEqual(tensors.model?.get('weight')?.toArray(), [7, 2, 3]);
  });

  it('stay only as many as asked for, the newest', () => {
    for (const step of [1, 2, 10]) writeCheckpoint(run, checkpointAt(step), 2);
    assert.deepEqual(
      listCheckpoints(run).map((path) => path.slice(-13)),
      ['step-00000002', 'step-00000010'],
    );
  });

  it('are not seen before they are whole', () => {
    writeCheckpoint(run, checkpointAt(1), 2);
    // A crash leaves this behind: a draft that was never renamed.
    const draft = join(run, 'checkpoints', '.step-00000002.tmp');
    mkdirSync(draft);
    writeFileSync(join(draft, 'model.safetensors'), 'half');
    assert.equal(listCheckpoints(run).length, 1);
    writeCheckpoint(run, checkpointAt(2), 2);
    assert.deepEqual(readdirSync(join(run, 'checkpoints')), ['step-00000001', 'step-00000002']);
  });

  it('with a damaged state are refused with a sentence', () => {
    const path = writeCheckpoint(run, checkpointAt(1), 2);
    writeFileSync(join(path, 'state.json'), '{');
    assert.throws(() => readCheckpoint(path, []), /state\.json/);
  });
});
