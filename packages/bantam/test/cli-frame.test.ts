import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import type { Command } from 'commander';
import { createProgram } from '../dist/cli/main.js';
import { nameOf, strategies } from '../dist/train/index.js';
import type { Setup } from '@bantam/torch/setup';
import { bantam, bantamJson, expectFailure } from './bantam.js';

/** Names of all commands below a command, each after those above it. */
function commandsBelow(command: Command): string[][] {
  return command.commands.flatMap((child) => [
    [child.name()],
    ...commandsBelow(child).map((names) => [child.name(), ...names]),
  ]);
}

describe('bantam train --help', () => {
  it('names every strategy', async () => {
    const { stdout } = await bantam(['train', '--help']);
    for (const name of strategies.map(nameOf)) {
      assert.match(stdout, new RegExp(`\\b${name}\\b(?!-)`));
    }
  });
});

describe('bantam', () => {
  it('has help with an example for each command', async () => {
    const commands = commandsBelow(createProgram());
    assert.ok(commands.length >= 20);
    const { stdout: general } = await bantam(['--help']);
    const help = async (names: string[]): Promise<void> => {
      const { status, stdout, stderr } = await bantam([...names, '--help']);
      assert.equal(status, 0);
      assert.equal(stderr, '');
      assert.ok(stdout.startsWith(`Usage: bantam ${names.join(' ')} `), stdout);
      assert.match(stdout, new RegExp(`^Examples?:\n  bantam ${names.join(' ')}`, 'm'));
      assert.match(stdout, /--json/);
      if (names.length === 1) assert.match(general, new RegExp(`^  ${names.join(' ')} `, 'm'));
    };
    await Promise.all(commands.map(help));
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
      usage(
        ['tokenizer', 'train', '--data', 'emoji', '--out', 'x', '--byte-fallback'],
        /--byte-fallback belongs to --type unigram; give both or neither/,
      ),
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

  it('ignores a closed pipe', async () => {
    const bin = new URL('../bin/bantam.js', import.meta.url).pathname;
    const shell = spawn('sh', ['-c', `"${process.execPath}" "${bin}" train --help | head -n 1`]);
    let stderr = '';
    shell.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await once(shell, 'close');
    assert.equal(stderr, '');
  });
});

describe('bantam setup', () => {
  it('says where libtorch is and how the addon came', async () => {
    const { libtorch, addon } = (await bantamJson(['setup'])) as Setup;
    assert.match(libtorch.version, /^\d+\.\d+\.\d+/);
    assert.equal(addon, 'up to date');
  });

  it('ends with status 1 and one sentence where libtorch is none', async () => {
    const env = { BANTAM_LIBTORCH: '/nowhere' };
    await expectFailure(['setup'], { status: 1, message: /BANTAM_LIBTORCH is "\/nowhere"/, env });
  });
});

describe('bantam doctor', () => {
  it('describes the machine as JSON', async () => {
    const machine = (await bantamJson(['doctor'])) as {
      cpu: { cores: number };
      memory: { totalBytes: number; freeBytes: number };
      runtime: { version: string; rates: { dtype: string; gflops: number }[] };
      problems: unknown[];
    };
    assert.ok(machine.cpu.cores >= 1);
    assert.ok(machine.memory.freeBytes <= machine.memory.totalBytes);
    assert.match(machine.runtime.version, /^\d+\.\d+/);
    assert.deepEqual(
      machine.runtime.rates.slice(0, 2).map(({ dtype }) => dtype),
      ['float32', 'bfloat16'],
    );
    for (const { gflops } of machine.runtime.rates) assert.ok(gflops > 0.1 && gflops < 1e6);
    assert.ok(Array.isArray(machine.problems));
  });

  it('reports an addon that does not load as a problem', async () => {
    const refusal = 'throw new Error("wrong ELF class")';
    const preload = `import m from "node:module"; m._extensions[".node"] = () => { ${refusal} };`;
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}` };
    const { problems, runtime } = (await bantamJson(['doctor'], { env })) as {
      problems: { what: string; remedy: string }[];
      runtime?: unknown;
    };
    assert.equal(runtime, undefined);
    assert.match(problems.map(({ what }) => what).join(), /libtorch does not load: .*wrong ELF/);
  });
});
