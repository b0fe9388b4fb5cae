import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Adafactor, AdamW, Lion, ones, Parameter, scope, zeros } from '@bantam/torch';
import * as v from 'valibot';
import { trainSchema } from '../config/settings.js';
import { createOptimizer } from './optimizer.js';

const defaults = v.parse(trainSchema, {});

describe('createOptimizer', () => {
  for (const [optimizer, kind] of [
    ['adamw', AdamW],
    ['adafactor', Adafactor],
    ['lion', Lion],
  ] as const) {
    it(`makes ${optimizer}, which decays by the rate times the setting`, () => {
      scope(() => {
        const weight = new Parameter(ones([2]));
        weight.grad = zeros([2]);
        const group = { label: 'all', parameters: new Map([['weight', weight]]), lrScale: 0.5 };
        const settings = { ...defaults, optimizer, lr: 1, weightDecay: 0.4 };
        using made = createOptimizer(settings, [group]);
        assert.ok(made instanceof kind);
        made.step({ lr: 0.1 });
        for (const value of weight.toArray()) {
          assert.ok(Math.abs(value - (1 - 0.1 * 0.5 * 0.4)) < 1e-6, String(value));
        }
        weight.dispose();
      });
    });
  }
});
