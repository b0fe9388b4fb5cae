import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeFolder } from './files.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-files-'));
after(() => {
  rmSync(folder, { recursive: true });
});

/** Id of a process that has ended. */
const ended = spawnSync(process.execPath, ['--eval', '']).pid;

function writeText(text: string): (draft: string) => Promise<void> {
  return (draft) => writeFile(join(draft, 'model.txt'), text);
}

test('writeFolder removes drafts of ended processes and keeps those of running ones', async () => {
  const parent = mkdtempSync(join(folder, 'drafts-'));
  const names = [`.out.${ended}.draft`, `.out.${process.ppid}.draft`, `.other.${ended}.draft`];
  for (const name of names) mkdirSync(join(parent, name));
  await writeFolder(join(parent, 'out'), () => true, writeText('new'));
  assert.deepEqual(readdirSync(parent).sort(), [names[2], names[1], 'out'].sort());
});

test('writeFolder restores the folder that an ended process was replacing', async () => {
  const parent = mkdtempSync(join(folder, 'old-'));
  const old = join(parent, `.out.${ended}.old`);
  mkdirSync(old);
  writeFileSync(join(old, 'notes.txt'), 'mine');
  const isModel = (file: string): boolean => file === 'model.txt';
  await assert.rejects(writeFolder(join(parent, 'out'), isModel, writeText('new')), {
    message: /holds other files \(notes\.txt\)/,
  });
  assert.equal(readFileSync(join(parent, 'out', 'notes.txt'), 'utf8'), 'mine');
  assert.deepEqual(readdirSync(parent), ['out']);
});
