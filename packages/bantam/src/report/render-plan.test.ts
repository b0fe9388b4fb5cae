import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PlannedChoice, TrainingChoices } from '../study/index.js';
import { renderPlan } from './render-plan.js';

function choice(rank: number, batch: number): PlannedChoice {
  const model = 'ModifiedResNet-Nano-64, 2 text layers';
  const predicted = { value: 0.75, band: [0.553, 0.899] } as const;
  return {
    ...{ rank, model, name: `${model}, batch ${batch}, rand-augment`, command: 'bantam train' },
    run: { data: 'csv:a.csv', budget: '30s', validation: { data: 'held-out' } },
    ...{ pairs: 100, samples: 3e3, epochs: 30, seconds: 30, samplesPerSecond: 100, bytes: 5e8 },
    ...{ isRateMeasured: true, predicted, chanceOfBest: 0.5, pilots: [] },
    curve: [{ seconds: 30, ...predicted }],
    reason: `half <of> ${2 * batch} is the batch`,
  };
}

const forecasts = ['a', 'b', 'c'].map((name) => {
  const whole = { samples: 3e3, value: 0.7, band: [0.6, 0.8] as const };
  return { ...whole, name, whole, pilots: 0 };
});

const plan: TrainingChoices = {
  ...{ bantam: 'plan', formatVersion: 1, data: 'csv:a.csv', metric: 'acc1', budget: '30s' },
  fingerprint: { records: 100, samplesPerEpoch: 100, digest: '' },
  validation: { data: '', images: 0, isHeldOut: true, chance: 0.1 },
  ...{
    pairs: 100,
    seconds: 30,
    measuringSeconds: 0,
    pilotSeconds: 0,
    runSeconds: 30,
    isPriorOnly: true,
  },
  machine: { cpu: 'CPU', cores: 2, threads: 1 },
  ...{ candidates: 3, rungs: [], choices: [choice(1, 32), choice(2, 64)], forecasts },
  ...{ surer: null, curve: {}, leftOut: [], notes: [] },
};

describe('the page of a plan', () => {
  const page = renderPlan(plan, { command: 'bantam plan', date: new Date(0) });

  it('tells the choices apart in the figure by their whole names, and has room for them', () => {
    const [figure = ''] = /<figure class="plot wide">[^]*?<\/figure>/.exec(page) ?? [];
    const names = [...figure.matchAll(/<text class="end"[^>]*>([^<]+)/g)].map(([, name]) => name);
    const name = (rank: number, batch: number): string =>
      `${rank}. ModifiedResNet-Nano-64, 2 text layers, batch ${batch}, rand-augment`;
    assert.deepEqual(names, [name(1, 32), name(2, 64)]);
    const left = Number(/translate\(([\d.]+) 8\)/.exec(figure)?.[1]);
    assert.ok(left > 6 * name(1, 32).length, `${left}`);
  });

  it('has the reason of each choice in a line below its numbers', () => {
    const reasons = [...page.matchAll(/<td class="why" colspan="7">([^]*?)<\/td>/g)];
    assert.deepEqual(
      reasons.map(([, reason]) => reason),
      ['half &lt;of&gt; 64 is the batch', 'half &lt;of&gt; 128 is the batch'],
    );
    assert.match(page, /<td class="number">55\.3 to 89\.9 %<\/td>/);
  });

  it('gives the rest of the chances below the table', () => {
    assert.match(page, /<\/table>\s*<p>The other candidate: 0 %\.<\/p>/);
    assert.match(page, /Candidates that fit<\/dt><dd[^>]*>3</);
  });

  it('counts one thread', () => {
    assert.match(page, /CPU, 2 cores, 1 thread</);
  });
});
