import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { at } from '../../base/at.js';
import { holdsOther, partsIn, removeParts } from './plan-folder.js';
import { PlanStateFile } from './plan-state.js';
import { loadTimeSchema, type LoadTime } from './rates.js';
import { TimingCache } from './timing-cache.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-plan-state-'));
const { BANTAM_CACHE } = process.env;
after(() => {
  if (BANTAM_CACHE === undefined) delete process.env.BANTAM_CACHE;
  else process.env.BANTAM_CACHE = BANTAM_CACHE;
  rmSync(folder, { recursive: true });
});

describe('PlanStateFile', () => {
  const file = join(folder, 'state.json');
  const fresh = { key: 'a', rates: {}, loads: {}, measuringSeconds: 0, rungs: [] };
  const rate = { samplesPerSecond: null, bytes: 2e9, stepBytes: 1e9, batch: 128, others: 0 };

  it('keeps what the same plan decided, and begins again for another', () => {
    const state = new PlanStateFile(file, 'a');
    assert.deepEqual(state.current, fresh);
    const pilots = [{ candidate: 'x', samples: 640 }];
    state.save({ rates: { x: rate, y: { failure: 'No.' } }, rungs: [{ seconds: 2.5, pilots }] });
    // A kind that failed is tried again.
    const { current } = new PlanStateFile(file, 'a');
    assert.deepEqual(current, { ...state.current, rates: { x: rate } });
    const other = new PlanStateFile(file, 'b');
    assert.deepEqual(other.current, { ...fresh, key: 'b' });
    // A plan that was ended while it timed has nothing to lose.
    assert.equal(holdsOther(other, folder), false);
    state.save({ schedule: [{ candidates: 2, seconds: 2.5 }] });
    assert.equal(holdsOther(new PlanStateFile(file, 'b'), folder), true);
    const resumed = new PlanStateFile(file, 'a');
    assert.deepEqual(resumed.current, state.current);
    assert.equal(holdsOther(resumed, folder), false);
  });

  it('refuses a damaged file in a sentence, whichever part of it is wrong', () => {
    for (const damaged of [
      null,
      [],
      {},
      { ...fresh, rates: null },
      { ...fresh, rates: { x: { ...rate, bytes: '2 GB' } } },
      { ...fresh, loads: { x: { first: 0.1 } } },
      { ...fresh, rungs: [{ seconds: 2.5, pilots: [{ candidate: 'x' }] }] },
    ]) {
      writeFileSync(file, JSON.stringify(damaged));
      assert.throws(() => new PlanStateFile(file, 'a'), {
        name: 'BantamError',
        message: `${file} is damaged; delete it, and the plan measures again.`,
      });
    }
  });
});

describe('removeParts', () => {
  it('removes the parts that were not there before, and the folder if it was not', () => {
    const parts = join(folder, 'parts');
    mkdirSync(join(parts, 'a'), { recursive: true });
    const before = partsIn(parts);
    mkdirSync(join(parts, 'b'));
    removeParts(parts, before);
    assert.deepEqual(readdirSync(parts), ['a']);
    removeParts(parts, undefined);
    assert.equal(partsIn(parts), undefined);
  });
});

describe('TimingCache', () => {
  it('gives what was timed for as long, and nothing of a file of another shape', () => {
    process.env.BANTAM_CACHE = folder;
    const cache = new TimingCache(loadTimeSchema, { loading: 'photo', others: 0 });
    assert.equal(cache.read(1), undefined);
    const load = { first: 0.01, again: 0.001 };
    cache.write(load, 1);
    assert.deepEqual(cache.read(1), load);
    assert.equal(cache.read(2), undefined);
    const file = join(folder, 'rates', at(readdirSync(join(folder, 'rates')), 0));
    const kept = JSON.parse(readFileSync(file, 'utf8')) as object;
    for (const other of [
      null,
      {},
      { ...kept, value: {} },
      { ...kept, value: { ...load, again: '1' } },
    ]) {
      writeFileSync(file, JSON.stringify(other));
      assert.equal(cache.read(1), undefined, JSON.stringify(other));
    }
  });

  it('gives what was timed beside other work for an hour, while there is other work', () => {
    process.env.BANTAM_CACHE = join(folder, 'busy');
    const cacheBeside = (others: number): TimingCache<LoadTime> =>
      new TimingCache(loadTimeSchema, { loading: 'photo', others });
    const load = { first: 0.01, again: 0.001 };
    cacheBeside(cpus().length).write(load, 1);
    assert.deepEqual(cacheBeside(cpus().length).read(1), load);
    assert.equal(cacheBeside(0).read(1), undefined);
    const rates = join(folder, 'busy', 'rates');
    const file = join(rates, at(readdirSync(rates), 0));
    const kept = JSON.parse(readFileSync(file, 'utf8')) as { measured: number };
    writeFileSync(file, JSON.stringify({ ...kept, measured: kept.measured - 3.7e6 }));
    assert.equal(cacheBeside(cpus().length).read(1), undefined);
  });
});
