import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { TrainingChoices } from 'bantam/experimental';
import { bantam, bantamJson, expectFailure, start } from './bantam.js';
import { drawShapes, temporaryFolder } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') };
const options = { cwd, env };
const few = ['--models', 'ModifiedResNet-Pico-64'];
const data = ['--data', 'csv:many/pairs.csv', '--validate', 'csv:test/pairs.csv'];

before(async () => {
  await drawShapes(join(cwd, 'many'), { each: 2 });
  await drawShapes(join(cwd, 'test'), { each: 5, variant: 1 });
});
after(() => rm(cwd, { recursive: true }));

/** Replaces the measured rates, so that pilots have as many samples on a slow machine as on a fast one. */
async function pretendRate(samplesPerSecond: number): Promise<void> {
  await bantam(['plan', ...data, '--budget', '8h', '--pilots', '0', '--out', 'rates', ...few], options); // prettier-ignore
  const folder = join(cwd, 'cache', 'rates');
  for (const file of readdirSync(folder)) {
    const path = join(folder, file);
    const kept = JSON.parse(readFileSync(path, 'utf8')) as { value: object };
    if (!('samplesPerSecond' in kept.value)) continue;
    // Those of a busy machine would be of no use to an idle one.
    const value = { ...kept.value, samplesPerSecond, others: 0 };
    writeFileSync(path, JSON.stringify({ ...kept, value, others: 0 }));
  }
}

/** Decisions and measurements of a plan, without times and folders. */
function decisions({ rungs, choices }: TrainingChoices): unknown {
  return {
    rungs: rungs.map(({ candidates }) => candidates),
    choices: choices
      .map(({ name, pilots }) => ({ name, pilots: pilots.map((one) => [one.samples, one.value]) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

describe('bantam plan', () => {
  it('without pilots gives the answer of the prior, and says so', async () => {
    const args = ['plan', ...data, '--budget', '8h', '--pilots', '0', '--out', 'my prior', ...few];
    const { stdout, stderr } = await bantam(args, options);
    assert.match(stderr, /^plan {2}timing ModifiedResNet-Pico-64/m);
    assert.match(stdout, /No pilot was run: this is what is known beforehand/);
    assert.match(stdout, /bantam train --from-plan 'my prior\/plan\.json' --out/);
    const page = readFileSync(join(cwd, 'my prior/plan.html'), 'utf8');
    assert.match(page, /made by <code>bantam plan .*--pilots 0 --out &#39;my prior&#39; --models/);
    const plan = readFileSync(join(cwd, 'my prior/plan.json'), 'utf8');
    await bantam(args, options);
    assert.equal(readFileSync(join(cwd, 'my prior/plan.json'), 'utf8'), plan);
  });

  it('refuses another plan in its folder, of which nothing changes, unless it is forced', async () => {
    const folder = join(cwd, 'my prior');
    const contents = (): string[] =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => `${name} ${readFileSync(join(parentPath, name), 'utf8')}`);
    const before = contents();
    const names = readdirSync(folder);
    const plan = ['plan', '--budget', '2m', '--pilots', '0', '--out', 'my prior', ...few];
    const others = [...plan, '--data', 'csv:test/pairs.csv'];
    const message = /my prior holds another plan .*--force, or choose another folder with --out/;
    await expectFailure(others, { ...options, status: 2, message });
    await expectFailure([...plan, ...data], { ...options, status: 2, message });
    assert.deepEqual([readdirSync(folder), contents()], [names, before]);
    const forced = (await bantamJson([...plan, ...data, '--force'], options)) as TrainingChoices;
    assert.equal(forced.budget, '2m');
    rmSync(folder, { recursive: true });
  });

  it('measures again where the cache is damaged, and names a damaged state', async () => {
    const args = ['plan', ...data, '--budget', '8h', '--pilots', '0', '--out', 'my prior', ...few];
    const folder = join(cwd, 'cache', 'rates');
    for (const file of readdirSync(folder)) writeFileSync(join(folder, file), '{');
    const { status, stderr } = await bantam(args, options);
    assert.equal(status, 0, stderr);
    writeFileSync(join(cwd, 'my prior/state.json'), '{');
    await expectFailure(args, { ...options, status: 1, message: /my prior\/state\.json is damaged; delete it/ }); // prettier-ignore
  });

  it('killed by SIGKILL goes on to the same plan, which trains', async () => {
    await pretendRate(100);
    const args = ['plan', ...data, '--budget', '50s', '--pilots', '60%', ...few];
    const whole = (await bantamJson([...args, '--out', 'whole'], options)) as TrainingChoices;
    assert.equal(whole.isPriorOnly, false);
    const [first] = whole.choices;
    assert.ok(first && first.pilots.length > 0);
    const [low, high] = first.predicted.band;
    assert.ok(low < first.predicted.value && first.predicted.value < high);
    assert.match(first.reason, /in pilots/);

    for (const delay of [100, 1500]) {
      const running = start([...args, '--out', 'killed'], options);
      await running.printed(/^rung 1 of 1: \d+ pilots of \d+s$/m);
      await setTimeout(delay);
      running.process.kill('SIGKILL');
      await running.ended;
    }
    const resumed = (await bantamJson([...args, '--out', 'killed'], options)) as TrainingChoices;
    assert.deepEqual(decisions(resumed), decisions(whole));

    const page = readFileSync(join(cwd, 'whole/plan.html'), 'utf8');
    assert.doesNotMatch(page, /NaN|Infinity|undefined|https?:\/\/(?!www\.w3)/);
    const table = join(cwd, 'many/pairs.csv');
    const original = readFileSync(table);
    appendFileSync(table, 'red circle/0.png,a thirteenth kind of caption\n');
    const planned = await bantam(['train', '--from-plan', 'whole/plan.json', '--out', 'run', '--plan'], options); // prettier-ignore
    assert.match(planned.stdout, /samples per second/);
    assert.match(
      planned.stderr,
      /changed since the plan was made \(still 24 records, but others or with other captions/,
    );
    writeFileSync(table, original);
    assert.equal(existsSync(join(cwd, 'run')), false);
  });

  it('says that the machine was busy', async () => {
    const programs = cpus().map(() => spawn(process.execPath, ['-e', 'for (;;);']));
    try {
      const args = ['plan', ...data, '--budget', '8h', '--pilots', '0', '--out', 'busy'];
      const busy = { ...options, env: { ...env, BANTAM_CACHE: join(cwd, 'busy cache') } };
      const { stdout } = await bantam([...args, ...few], busy);
      assert.match(stdout, /^Other programs used \d+\.\d of \d+ cores when timing began/m);
    } finally {
      for (const program of programs) program.kill();
    }
  });

  it('stops at SIGINT while it times, and keeps what was timed', async () => {
    const args = ['plan', ...data, '--budget', '8h', '--pilots', '0', '--out', 'stopped'];
    const timed = readdirSync(join(cwd, 'cache', 'rates'));
    const models = ['--models', 'ModifiedResNet-Pico-64,ViT-Pico-8-64'];
    const running = start([...args, ...models], options);
    while (!existsSync(join(cwd, 'stopped/state.json'))) await setTimeout(50);
    running.process.kill('SIGINT');
    const { status, stderr } = await running.ended;
    assert.equal(status, 1);
    assert.match(stderr, /^error: Planning was interrupted; what was timed is kept/m);
    const state = readFileSync(join(cwd, 'stopped/state.json'), 'utf8');
    const { rates } = JSON.parse(state) as { rates: object };
    assert.deepEqual(Object.keys(rates), ['ModifiedResNet-Pico-64, clip']);
    // The model that was being timed was not timed to the end.
    assert.deepEqual(readdirSync(join(cwd, 'cache', 'rates')), timed);
  });

  it('refuses or explains in a sentence what cannot be planned', async () => {
    const tiny = await bantam(['plan', '--data', 'csv:many/pairs.csv', '--budget', '2m', '--out', 'tiny', ...few], options); // prettier-ignore
    assert.match(tiny.stdout, /too few to hold out 50 to measure on; name validation data/);
    const refused = (args: readonly string[], status: 1 | 2, message: RegExp): Promise<void> =>
      expectFailure(['plan', '--out', 'refused', ...few, ...args], { ...options, status, message });
    mkdirSync(join(cwd, 'short'));
    const short = await bantam(['plan', '--out', 'short', ...data, '--budget', '0.05s', ...few], options); // prettier-ignore
    assert.equal(short.status, 2);
    assert.match(short.stderr, /0\.05s leaves no second for the run.*; plan for at least \d+s\b/);
    // The time of timing is not counted again.
    assert.equal(existsSync(join(cwd, 'short/state.json')), false);
    await refused([...data, '--budget', '3epochs'], 2, /A plan is for a time/);
    await refused([...data, '--budget', '9ksamples'], 2, /A plan is for a time/);
    await refused([...data, '--budget', '1h', '--metric', 'image_retrieval_median_rank'], 2, /is a rank/); // prettier-ignore
    await refused([...data, '--budget', '1h', '--metric', 'lp_acc1'], 1, /has no classes, so lp_acc1/); // prettier-ignore
    await refused([...data, '--budget', '1h', '--memory', '50MB'], 1, /fits a memory of 50 MB: the smallest needs about (\d+) MB; plan with --memory \1MB or more/); // prettier-ignore
    const { stderr } = await bantam(['plan', '--out', 'refused', ...data, '--budget', '1h', '--scores', 'none.parquet'], options); // prettier-ignore
    assert.match(stderr, /error: .*none\.parquet/);
    assert.doesNotMatch(stderr, /timing/);
    assert.equal(existsSync(join(cwd, 'refused')), false);
    // Another plan begins while this one reads its data.
    const running = start(['plan', '--out', 'both/short', ...data, '--budget', '0.05s', ...few], options); // prettier-ignore
    while (!existsSync(join(cwd, 'both/short'))) await setTimeout(5);
    mkdirSync(join(cwd, 'both/other'));
    assert.equal((await running.ended).status, 2);
    assert.deepEqual(readdirSync(join(cwd, 'both')), ['other']);
    await expectFailure(['train', '--from-plan', 'none.json', '--out', 'x'], {
      ...options,
      status: 2,
      message: /no plan none\.json/,
    });
  });
});
