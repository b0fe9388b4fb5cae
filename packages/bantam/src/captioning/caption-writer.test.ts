import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { BantamError } from '../base/errors.js';
import type { CaptionEntry, CaptionHeader } from '../data/sources/caption-file.js';
import { CaptionWriter } from './caption-writer.js';

const header: CaptionHeader = {
  bantam: 'captions',
  format: 1,
  data: 'folder:féte',
  captioner: 'coca:x',
  settings: { count: 1, seed: 0 },
};
const entries: readonly CaptionEntry[] = ['a', 'é', 'c'].map((key) => ({
  key,
  captions: [{ text: `“${key}”`, source: 'coca:x' }],
}));

let directory: string;
let path: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bantam-caption-writer-'));
  path = join(directory, 'sub', 'captions.jsonl');
});
after(() => rm(directory, { recursive: true }));

/** Writes what is missing, as a run does; returns the notes. */
async function run(changed: Partial<CaptionHeader> = {}): Promise<readonly string[]> {
  const writer = await CaptionWriter.open(path, { ...header, ...changed });
  for (const entry of entries) if (!writer.keys.has(entry.key)) writer.append(entry);
  writer.close();
  return writer.notes;
}

async function refusal(changed: Partial<CaptionHeader> = {}): Promise<string> {
  try {
    await run(changed);
  } catch (error) {
    assert.ok(error instanceof BantamError, String(error));
    return error.message;
  }
  return assert.fail('the file was taken');
}

describe('CaptionWriter', () => {
  it('goes on from a file that was cut off at any byte, and loses no whole line', async () => {
    rmSync(path, { force: true });
    assert.deepEqual(await run(), []);
    const whole = readFileSync(path);
    const first = whole.indexOf(10) + 1;
    for (let length = 0; length <= whole.length; length++) {
      truncateSync(path, length);
      const notes = await run();
      assert.equal(readFileSync(path, 'utf8'), whole.toString(), `cut off at ${length}`);
      const lines = whole.subarray(first, length).filter((byte) => byte === 10).length;
      const isWhole = length <= first || [10, 125].includes(whole[length - 1] ?? 0);
      if (notes.length === 1) {
        assert.match(notes[0] ?? '', new RegExp(`cut off \\(\\d+ bytes\\).* ${lines} images`));
      } else assert.ok(isWhole || lines === 0, `${length}`);
    }
  });

  it('takes files that were joined, or whose last line break is missing', async () => {
    await run();
    const whole = readFileSync(path);
    writeFileSync(path, Buffer.concat([whole, whole.subarray(0, -1)]));
    await run();
    assert.equal(readFileSync(path, 'utf8'), `${whole.toString()}${whole.toString()}`);
  });

  it('refuses a file of other settings, naming them, unless it holds no captions', async () => {
    await run();
    const before = readFileSync(path, 'utf8');
    assert.match(
      await refusal({ data: 'csv:x', settings: { count: 2, seed: 0, prompt: 'What?' } }),
      /captions\.jsonl" was made with data "folder:féte", count 1, prompt not set, but now data "csv:x", count 2, prompt "What\?" is asked for; give the same/,
    );
    assert.equal(readFileSync(path, 'utf8'), before);
    truncateSync(path, before.indexOf('\n') + 1);
    await run({ captioner: 'coca:y' });
    assert.match(readFileSync(path, 'utf8'), /^.*"coca:y".*\n.*"a"/);
  });

  it('leaves files of others unchanged', async () => {
    for (const text of ['my notes', 'my notes\n', '{"a":1}\n', `${JSON.stringify(entries[0])}\n`]) {
      writeFileSync(path, text);
      assert.match(
        await refusal(),
        /is no caption record|was not written by "bantam data caption"/,
      );
      assert.equal(readFileSync(path, 'utf8'), text);
    }
  });

  it('names what cannot be written', async () => {
    path = join(directory, 'folder');
    mkdirSync(path);
    assert.match(await refusal(), /folder" is no ordinary file; name another one/);
    writeFileSync(join(directory, 'file'), '');
    path = join(directory, 'file', 'captions.jsonl');
    assert.match(
      await refusal(),
      /captions\.jsonl" cannot be written \(a part of the path is a file, not a folder\)/,
    );
    // It can be read without end.
    path = '/dev/zero';
    assert.match(await refusal(), /"\/dev\/zero" is no ordinary file/);
  });
});
