import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { strategies } from '../dist/train/index.js';
import { bantam, bantamJson, expectFailure } from './bantam.js';

const commands = [
  ['quickstart'],
  ['doctor'],
  ['data'],
  ['data', 'get'],
  ['data', 'inspect'],
  ['tokenizer'],
  ['tokenizer', 'train'],
  ['tokenizer', 'encode'],
  ['models'],
  ['models', 'list'],
  ['models', 'show'],
  ['train'],
  ['eval'],
  ['embed'],
  ['search'],
];

describe('bantam train --help', () => {
  it('names every strategy, though it loads none', async () => {
    const { stdout } = await bantam(['train', '--help']);
    for (const { type } of strategies) assert.match(stdout, new RegExp(`\\b${type}\\b(?!-)`));
  });
});

describe('bantam', () => {
  it('has help with an example for each command', async () => {
    const [general, ...each] = await Promise.all([
      bantam(['--help']),
      ...commands.map((command) => bantam([...command, '--help'])),
    ]);
    for (const command of commands)
      assert.match(general.stdout, new RegExp(`^  ${command[0] ?? ''} `, 'm'));
    each.forEach(({ status, stdout, stderr }, index) => {
      const name = commands[index]?.join(' ') ?? '';
      assert.equal(status, 0);
      assert.equal(stderr, '');
      assert.match(stdout, new RegExp(`^Usage: bantam ${name} `));
      assert.match(stdout, new RegExp(`^Examples?:\n  bantam ${name}`, 'm'));
      assert.match(stdout, /--json/);
    });
  });

  it('prints its version', async () => {
    const { status, stdout } = await bantam(['--version']);
    assert.equal(status, 0);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });

  it('ends with status 2 on wrong usage and names the nearest word', async () => {
    const usage = (args: string[], message: RegExp) => expectFailure(args, { status: 2, message });
    await Promise.all([
      usage([], /A command is missing/),
      usage(['trian'], /unknown command 'trian' \(did you mean train\?\)/),
      usage(['train', '--bugdet', '5m'], /unknown option '--bugdet' \(did you mean --budget\?\)/),
      usage(['train', '--seed', 'x'], /'--seed <n>' argument 'x' is invalid: It must be a whole/),
      usage(['train', '--set', 'lr'], /'lr' is invalid: It must be written name=value/),
      usage(['train'], /needs --data, --out, --budget/),
      usage(['train', '--resume', 'run', '--data', 'emoji'], /leave out --data/),
      usage(['data', 'get'], /missing required argument 'name'/),
      usage(['data', 'get', 'emojis'], /Allowed choices are emoji/),
      usage(['doctor', 'now'], /too many arguments/),
    ]);
  });

  it('prints one JSON document for a failure as well', async () => {
    const args = ['tokenizer', 'encode', '--tokenizer', '/nowhere', 'text', '--json'];
    const { status, stdout, stderr } = await bantam(args);
    assert.equal(status, 1);
    const { error } = JSON.parse(stdout) as { error: string };
    assert.match(error, /\/nowhere/);
    assert.equal(stderr, `error: ${error}\n`);
  });

  it('prints a stack trace with --debug', async () => {
    const args = ['tokenizer', 'encode', '--tokenizer', '/nowhere', 'text'];
    const { stderr } = await bantam([...args, '--debug']);
    assert.match(stderr, /^ {4}at .*loadTokenizer/m);
  });

  it('passes a closed pipe quietly', async () => {
    const bin = new URL('../bin/bantam.js', import.meta.url).pathname;
    const shell = spawn('sh', ['-c', `"${process.execPath}" "${bin}" train --help | head -n 1`]);
    let stderr = '';
    shell.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await once(shell, 'close');
    assert.equal(stderr, '');
  });
});

describe('bantam doctor', () => {
  it('describes the machine as JSON', async () => {
    const machine = (await bantamJson(['doctor'])) as {
      cpu: { cores: number };
      memory: { totalBytes: number; freeBytes: number };
      engine: { version: string; rates: { dtype: string; gflops: number }[] };
      problems: unknown[];
    };
    assert.ok(machine.cpu.cores >= 1);
    assert.ok(machine.memory.freeBytes <= machine.memory.totalBytes);
    assert.match(machine.engine.version, /^\d+\.\d+/);
    assert.deepEqual(
      machine.engine.rates.slice(0, 2).map(({ dtype }) => dtype),
      ['float32', 'bfloat16'],
    );
    for (const { gflops } of machine.engine.rates) assert.ok(gflops > 0.1 && gflops < 1e6);
    assert.ok(Array.isArray(machine.problems));
  });
});
