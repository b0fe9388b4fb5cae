import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fixtureJson } from '../fixture.test.helper.js';
import { schedule, type ScheduleOptions } from '../index.js';

interface OpenClipCase {
  schedule: 'cosine_lr' | 'const_lr' | 'const_lr_cooldown';
  steps: number;
  base_lr: number;
  warmup: number;
  cooldown_steps?: number;
  cooldown_power?: number;
  cooldown_end_lr?: number;
  rates: number[];
}

interface BigVisionCase {
  decay: 'cosine' | 'poly' | 'rsqrt';
  steps: number;
  warmup: number;
  cooldown?: number;
  end?: number;
  power?: number;
  timescale?: number;
  shift?: number;
  factors: number[];
}

const { openclip, bigVision } = fixtureJson('schedules') as {
  openclip: OpenClipCase[];
  bigVision: BigVisionCase[];
};

function assertNear(actual: number, expected: number | undefined, what: string): void {
  assert.ok(Math.abs(actual - (expected ?? NaN)) < 1e-12, `${what}: ${actual}, not ${expected}`);
}

describe('schedule', () => {
  for (const [index, example] of openclip.entries()) {
    it(`equals OpenCLIP's ${example.schedule}, case ${index}`, () => {
      const { base_lr: base, steps, warmup, rates } = example;
      const factor = schedule({
        kind: example.schedule === 'cosine_lr' ? 'cosine' : 'constant',
        total: steps,
        warmup,
        cooldown: example.cooldown_steps ?? 0,
        cooldownPower: example.cooldown_power ?? 1,
        final: (example.cooldown_end_lr ?? 0) / base,
      });
      for (const [step, rate] of rates.entries()) {
        assertNear(base * factor(step), rate, `step ${step}`);
      }
    });
  }

  for (const [index, example] of bigVision.entries()) {
    it(`equals big_vision's ${example.decay}, case ${index}, but for one step of warm-up`, () => {
      const { decay, steps, warmup, end = 0, factors, ...rest } = example;
      const kind = decay === 'poly' ? 'linear' : decay;
      const options: ScheduleOptions = { kind, total: steps, warmup, final: end, ...rest };
      const factor = schedule(options);
      for (let step = 0; step < steps; step++) {
        // There the warm-up is s/W, here (s + 1)/W.
        const theirs = factors[step < warmup ? step + 1 : step];
        assertNear(factor(step), theirs, `step ${step}`);
      }
    });
  }

  it('ends on the final value and stays there', () => {
    for (const kind of ['cosine', 'linear'] as const) {
      const factor = schedule({ kind, total: 10, final: 0.25 });
      assertNear(factor(10), 0.25, kind);
      assertNear(factor(12.5), 0.25, kind);
    }
  });

  it('refuses warm-up and cooldown that do not fit', () => {
    assert.throws(() => schedule({ kind: 'cosine', total: 10, warmup: 8, cooldown: 3 }), {
      name: 'TorchError',
      message: /10 steps cannot hold 8 steps of warm-up and 3 of cooldown/,
    });
    assert.throws(() => schedule({ kind: 'cosine', total: 0 }), { name: 'TorchError' });
  });
});
