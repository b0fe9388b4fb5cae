/** Targets that break what they promise, each in one way: the fuzzer's own test. */
import type { FuzzTarget } from './targets.js';

const planted = (name: string, run: FuzzTarget['run']): FuzzTarget => ({
  name,
  seeds: () => Promise.resolve([Buffer.from([0])]),
  mutate: (_, random) => Buffer.from([random.below(8)]),
  run,
  allowed: [RangeError],
});

/** Bytes that are held on to. */
const held: Buffer[] = [];

export const targets: readonly FuzzTarget[] = [
  planted('whole', (input) => {
    if (input[0] === 7) throw new RangeError('allowed');
  }),
  planted('foreign', (input) => {
    if (input[0] === 7) throw new TypeError('not allowed');
  }),
  planted('crash', (input) => {
    if (input[0] === 7) process.abort();
  }),
  planted('hang', (input) => {
    while (input[0] === 7);
  }),
  planted('memory', (input) => {
    if (input[0] === 7) held.push(Buffer.alloc(160 << 20, 1));
  }),
];
