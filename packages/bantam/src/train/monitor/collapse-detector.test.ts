import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CollapseDetector } from './collapse-detector.js';

const collapsed = Math.log(128);

/** The first diagnosis over 60 steps of these losses and gradients. */
function diagnose(at: (step: number) => { loss: number; gradNorm: number }): string | null {
  const detector = new CollapseDetector();
  for (let step = 1; step <= 60; step++) {
    const found = detector.observe({
      ...at(step),
      step,
      progress: step / 60,
      collapsed: () => collapsed,
    });
    if (found !== null) return found;
  }
  return null;
}

describe('CollapseDetector', () => {
  it('notices a loss that stays where all features are equal', () => {
    const found = diagnose((step) => ({
      loss: step < 5 ? 5.1 : collapsed + 1e-3,
      gradNorm: step < 5 ? 3 : 0.002,
    }));
    assert.match(found ?? '', /stays at 4\.852.*lower train\.lr/);
  });

  it('leaves alone a training that begins there and has gradients, and one that learns', () => {
    assert.equal(
      diagnose(() => ({ loss: collapsed, gradNorm: 1 })),
      null,
    );
    assert.equal(
      diagnose((step) => ({ loss: collapsed - 0.05 * step, gradNorm: 0.001 * step })),
      null,
    );
  });
});
