/**
 * `npm run test:lts`: the tests on the current long-term release of Node, whose binary comes as an
 * npm package; words are handed on to `npm test`.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The current long-term release (Node's list of releases). */
const LTS = 24;

const binary = `node-${process.platform}-${process.arch}@${LTS}`;
const test = fileURLToPath(new URL('test.js', import.meta.url));
const { status } = spawnSync(
  'npm',
  ['exec', '--yes', `--package=${binary}`, '--', 'node', test, ...process.argv.slice(2)],
  { stdio: 'inherit' },
);
process.exitCode = status ?? 1;
