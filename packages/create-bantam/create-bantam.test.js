import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
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

/** The parts of Bantam that the shop starts with, for one image and no model. */
const withoutModel = `
export const train = () => Promise.reject(new Error('There is nothing to train.'));
export const loadForInference = async () => ({ loaded: { model: { dispose() {} } } });
export const openSource = async () => ({
  size: 1,
  record: () => ({ key: 'a red one.PNG' }),
  location: () => ({ path: 'a red one.PNG' }),
});
export const buildIndex = async () => ({ size: 1 });
export const serve = async () => ({ url: 'http://127.0.0.1:9', stop: async () => {} });
`;

/** A port of this machine that nothing listens at. */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
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

  it('has a shop that answers an undecodable path with 404, and images with their type', async (t) => {
    const shop = join(folder, 'run-shop');
    const bantam = join(shop, 'node_modules', 'bantam');
    for (const path of [bantam, join(shop, 'run', 'model')]) mkdirSync(path, { recursive: true });
    const { transpileModule, ...ts } = createRequire(import.meta.url)('typescript');
    const source = readFileSync(join(own, 'template', 'shop.ts'), 'utf8');
    const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext };
    const { outputText } = transpileModule(source, { compilerOptions });
    writeFileSync(join(shop, 'shop.mjs'), outputText);
    writeFileSync(join(shop, 'a red one.PNG'), 'bytes of an image');
    writeFileSync(join(bantam, 'package.json'), '{"type":"module","exports":"./index.js"}');
    writeFileSync(join(bantam, 'index.js'), withoutModel);
    const port = await freePort();
    const env = { ...process.env, PORT: String(port) };
    const running = spawn(process.execPath, ['shop.mjs'], { cwd: shop, env, stdio: 'pipe' });
    t.after(() => running.kill());
    await once(running.stdout, 'data');
    const answers = ['a%20red%20one.PNG', '%E0%A4%A', 'another.png'].map(async (path) => {
      const { status, headers } = await fetch(`http://127.0.0.1:${port}/images/${path}`);
      return [status, headers.get('content-type')];
    });
    assert.deepEqual(await Promise.all(answers), [
      [200, 'image/png'],
      [404, null],
      [404, null],
    ]);
  });

  it("has a template that agrees with Bantam's types", () => {
    const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
    const args = [tsc, '-p', join(own, 'template')];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  });
});
