import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TrainEvent } from '../train/index.js';
import { Progress } from './progress.js';
import { showTraining } from './train-progress.js';

type EventOf<Kind extends TrainEvent['kind']> = Extract<TrainEvent, { kind: Kind }>;

const start: EventOf<'start'> = {
  kind: 'start',
  run: 'runs/a',
  model: 'ViT-Nano-16-64',
  parameters: 2_500_000,
  samples: 100,
  device: 'cpu',
  precision: 'fp32',
  batchSize: 50,
  budget: '1000samples',
  groups: 'rank ≤ 1: 3 tensors\nthe rest: 4 tensors',
  isUniform: true,
};

const step: EventOf<'step'> = {
  kind: 'step',
  step: 1,
  samples: 50,
  epoch: 0,
  loss: 3.5,
  samplesPerSecond: 20,
  dataWait: 0.125,
  progress: 0.05,
  etaSeconds: null,
};

/** Lines that events print where there is no terminal. */
function printed(events: readonly TrainEvent[], options = {}): string[] {
  const written: string[] = [];
  const stream = { isTTY: false, write: (text: string) => written.push(text) };
  const show = showTraining(new Progress({ stream, env: {} }), options);
  for (const event of events) show(event);
  return written.join('').trimEnd().split('\n');
}

describe('showTraining', () => {
  it('prints groups of parameters where they differ, or where they are asked for', () => {
    const groups = ['Groups of parameters:', '  rank ≤ 1: 3 tensors', '  the rest: 4 tensors'];
    const [first, ...others] = printed([start]);
    assert.match(String(first), /^Training ViT-Nano-16-64 \(2\.5M parameters\) on 100 samples/);
    assert.deepEqual(others, []);
    assert.deepEqual(printed([{ ...start, isUniform: false }]).slice(1), groups);
    assert.deepEqual(printed([start], { verbose: true }).slice(1), groups);
  });

  it('prints the remaining time once it is known', () => {
    const [unknown] = printed([step]);
    assert.match(String(unknown), / 5% · loss 3\.500 · 20 samples\/s · data wait 13%$/);
    const [known] = printed([{ ...step, etaSeconds: 75 }]);
    assert.match(String(known), / 5% · 1m 15s left · loss 3\.500 /);
  });
});
