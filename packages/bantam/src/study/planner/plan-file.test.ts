import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openSource } from '../../data/index.js';
import { dataFingerprint } from '../../train/index.js';
import { readChoice } from './plan-file.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-plan-file-'));
after(() => {
  rmSync(folder, { recursive: true });
});

const table = join(folder, 'pairs.csv');
const spec = `csv:${table}`;
const file = join(folder, 'plan.json');
const rows = 'image,caption\na.png,one\nb.png,two\n';

/** Writes a plan for the table as it was at first. */
async function writePlan(run: object, changes: object = {}): Promise<void> {
  writeFileSync(table, rows);
  const fingerprint = await dataFingerprint(await openSource(spec));
  const head = { bantam: 'plan', formatVersion: 1, data: spec, fingerprint };
  writeFileSync(file, JSON.stringify({ ...head, choices: [{ run }], ...changes }));
}

describe('readChoice', () => {
  it('gives the options of a run, and says if its data have changed since', async () => {
    const run = { data: spec, model: 'ViT-Pico-8-64', budget: '1m', train: { lr: 1e-3 } };
    await writePlan(run);
    assert.deepEqual(await readChoice(file, 1), { run, change: undefined, predicted: undefined });
    writeFileSync(table, `${rows}c.png,three\n`);
    const { change } = await readChoice(file, 1);
    assert.match(change ?? '', /have changed since the plan was made \(2 records then, 3 now\)/);
    writeFileSync(table, rows.replace('two', 'three'));
    assert.match((await readChoice(file, 1)).change ?? '', /still 2 records, but others/);
  });

  it('gives the prediction, if the plan has one', async () => {
    const run = { data: spec, budget: '1m' };
    const predicted = { value: 0.4, band: [0.3, 0.5] };
    await writePlan(run, { metric: 'acc1', choices: [{ run, predicted }] });
    assert.deepEqual((await readChoice(file, 1)).predicted, { metric: 'acc1', ...predicted });
    await writePlan(run, { metric: 'acc1', choices: [{ run, predicted: { value: 0.4 } }] });
    assert.equal((await readChoice(file, 1)).predicted, undefined);
  });

  it('refuses what is no option of a run by its name, and a choice that there is not', async () => {
    const planned = { data: spec, budget: '1m' };
    await writePlan({ ...planned, device: 'cuda' });
    await assert.rejects(readChoice(file, 1), /choice 1 in .*plan\.json cannot be used. There is no setting 'device'/); // prettier-ignore
    await writePlan({ ...planned, train: { lr: '6e-4' } });
    await assert.rejects(readChoice(file, 1), /'train\.lr' is "6e-4"; it must be a number/);
    await writePlan({ budget: '1m' });
    await assert.rejects(readChoice(file, 1), /The setting 'data' is missing/);
    await assert.rejects(readChoice(file, 2), /has no choice 2; its last one is 1/);
  });

  it('refuses a damaged fingerprint and a plan without choices', async () => {
    const run = { data: spec, budget: '1m' };
    await writePlan(run, { fingerprint: {} });
    await assert.rejects(readChoice(file, 1), /plan\.json is damaged: its "fingerprint" must have .*; plan again with "bantam plan"\.$/); // prettier-ignore
    await writePlan(run, { choices: [] });
    await assert.rejects(readChoice(file, 1), /plan\.json has no choices; plan again with "bantam plan"\.$/); // prettier-ignore
    await writePlan(run, { fingerprint: undefined });
    assert.deepEqual(await readChoice(file, 1), { run, change: undefined, predicted: undefined });
  });
});
