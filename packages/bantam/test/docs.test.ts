import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const source = join(root, 'packages/bantam/src');

/** The files that docs/architecture.md lists as a training's reading order. */
function readingOrder(): string[] {
  const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const [, list = ''] = /<!-- reading order -->([^]*?)<!-- end -->/.exec(text) ?? [];
  return [...list.matchAll(/^\d+\. `([^`]+)`/gm)].flatMap(([, file]) => file ?? []);
}

describe('the reading order of a training in docs/architecture.md', () => {
  const files = readingOrder();

  it('starts at train() and ends at the loss, and names files that exist, each once', () => {
    assert.equal(files[0], 'train/train.ts');
    assert.ok(files.length > 8 && files.at(-1)?.startsWith('losses/'));
    assert.deepEqual(files.filter((file) => !existsSync(join(source, file))), []); // prettier-ignore
    assert.equal(new Set(files).size, files.length);
  });
});

describe('docs/settings.md and the JSON Schema of settings', () => {
  it('are what the declarations of the settings give', () => {
    const script = join(root, 'scripts/settings-docs.js');
    const { status, stderr } = spawnSync(process.execPath, [script, '--check'], {
      cwd: root,
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
  });
});
