import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatCount, Progress } from './progress.js';

/** A stream that keeps what is written, and a clock that is set by hand. */
function fake(options: { isTTY: boolean; columns?: number }) {
  const written: string[] = [];
  const clock = { time: 0 };
  const stream = { ...options, write: (text: string) => written.push(text) };
  return { written, clock, progress: new Progress({ stream, env: {}, now: () => clock.time }) };
}

describe('Progress', () => {
  it('rewrites one line on a terminal, cuts it to the width and erases it', () => {
    const { written, clock, progress } = fake({ isTTY: true, columns: 20 });
    progress.update('training', 'step 1');
    progress.update('training', 'too soon to show');
    clock.time = 200;
    progress.update('training', 'a line that is too long');
    progress.done();
    progress.done();
    assert.deepEqual(written, [
      '\rtraining  step 1\x1b[K',
      '\rtraining  a line t…\x1b[K',
      '\r\x1b[K',
    ]);
  });

  it('writes plain lines elsewhere, one in ten seconds for each task', () => {
    const { written, clock, progress } = fake({ isTTY: false });
    for (let second = 0; second <= 20; second++) {
      clock.time = second * 1000;
      progress.update('training', `${second}`);
    }
    progress.update('evaluating', '');
    progress.done();
    assert.deepEqual(written, [
      'training  0\n',
      'training  10\n',
      'training  20\n',
      'evaluating\n',
    ]);
  });

  it('prints lines that stay above the live line', () => {
    const { written, progress } = fake({ isTTY: true, columns: 80 });
    progress.update('training', '');
    progress.note('a note');
    assert.deepEqual(written.slice(1), ['\r\x1b[K', 'a note\n']);
  });
});

describe('formatCount', () => {
  it('tells the time left at the pace so far', () => {
    assert.equal(formatCount(10, 40, 0, 30_000), '███░░░░░░░░░  25% 10/40 · 1m 30s left');
    assert.equal(formatCount(0, 40, 0, 30_000), '░░░░░░░░░░░░   0% 0/40');
    assert.equal(formatCount(10, 40, 0, 999), '███░░░░░░░░░  25% 10/40');
  });
});
