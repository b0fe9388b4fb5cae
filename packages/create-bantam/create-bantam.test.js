import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const own = dirname(fileURLToPath(import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'create-bantam-'));
after(() => rmSync(folder, { recursive: true }));

/** @param {readonly string[]} args */
function create(...args) {
  const bin = join(own, 'bin', 'create-bantam.js');
  return spawnSync(process.execPath, [bin, ...args], { cwd: folder, encoding: 'utf8' });
}

describe('create-bantam', () => {
  it('makes a project of the name of its folder', () => {
    const { status, stdout } = create('My Shop');
    assert.equal(status, 0);
    assert.match(stdout, /cd "My Shop"\n {2}npm install/);
    const files = readdirSync(join(folder, 'My Shop')).sort();
    assert.deepEqual(files, [
      '.gitignore',
      'README.md',
      'package.json',
      'shop.ts',
      'tsconfig.json',
    ]);
    const manifest = JSON.parse(readFileSync(join(folder, 'My Shop', 'package.json'), 'utf8'));
    assert.equal(manifest.name, 'my-shop');
    assert.equal(manifest.scripts.start, 'tsx shop.ts');
  });

  it('touches no folder that holds files, and asks for one name', () => {
    create('full');
    for (const [args, message] of [
      [['full'], /full holds files already/],
      [[], /Name one folder/],
      [['a', 'b'], /Name one folder/],
      [['--help'], /Name one folder/],
    ]) {
      const { status, stderr } = create(...args);
      assert.equal(status, 2);
      assert.match(stderr, message);
    }
  });

  it("has a template that agrees with Bantam's types", () => {
    const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
    const args = [tsc, '-p', join(own, 'template')];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  });
});
