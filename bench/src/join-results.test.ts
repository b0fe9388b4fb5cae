import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { joinRuns } from './join-results.js';
import { measuredCase, measuredResults } from './results.test.helper.js';

const text = { ...measuredCase, name: 'text/ViT-B-32/bf16', kind: 'text' } as const;

describe('joinRuns', () => {
  it('takes the later figures of a case, in the order of the list', () => {
    const again = { ...measuredCase, samplesPerStep: 20 };
    const resnet = { ...measuredCase, name: 'train/RN50/bf16' };
    const first = { ...measuredResults, cases: [text, measuredCase] };
    const second = {
      ...measuredResults,
      commandLine: 'again',
      cases: [resnet, again],
      skipped: [],
    };
    const startup = { ...measuredResults, command: 'startup', cases: [] } as const;
    const [other, joined, ...more] = joinRuns([first, startup, second]);
    assert.equal(other, startup);
    assert.deepEqual(more, []);
    assert.deepEqual(joined?.cases, [again, text, resnet]);
    // It was measured after all.
    assert.deepEqual(joined.skipped, []);
    assert.equal(joined.commandLine, 'npm run bench -- run; again');
  });

  it('refuses results of two machines', () => {
    const machine = { ...measuredResults.machine, threads: 1 };
    assert.throws(
      () => joinRuns([measuredResults, { ...measuredResults, machine }]),
      /cannot share a table; give the files of one machine/,
    );
  });
});
