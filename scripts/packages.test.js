import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ADDONS } from '../packages/torch/install/addon.js';
import { platformPackage } from '../packages/torch/install/prebuilt.js';
import { packInto, readJson, writePlatformPackage } from './packages.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const built = join(root, 'packages', 'torch', 'build');

/** The compilers that have to read the declarations, and where npm put each. */
const COMPILERS = [
  { version: '5.9', folder: 'scripts/typescript-5.9/node_modules/typescript' },
  { version: '6', folder: 'node_modules/typescript' },
  { version: '7', folder: 'scripts/typescript-7/node_modules/typescript' },
];

/**
 * Copies a package and all that it depends on, without what npm would not install for others.
 *
 * @param {string} name
 * @param {string} modules folder to copy it to
 */
function copyPackage(name, modules) {
  const from = join(root, 'node_modules', name);
  const to = join(modules, name);
  if (existsSync(to)) return;
  cpSync(from, to, { recursive: true });
  const { dependencies = {}, optionalDependencies = {} } = readJson(join(from, 'package.json'));
  for (const dependency of Object.keys(dependencies)) copyPackage(dependency, modules);
  // Binaries: of no interest to the compiler, and large.
  for (const dependency of Object.keys(optionalDependencies)) {
    const target = join(root, 'node_modules', dependency);
    const link = join(modules, dependency);
    if (!existsSync(target) || existsSync(link)) continue;
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(target, link);
  }
}

describe('the packages, packed and installed in an empty project', () => {
  const project = mkdtempSync(join(tmpdir(), 'bantam-project-'));
  const modules = join(project, 'node_modules');
  const torch = join(modules, '@bantam', 'torch');
  const web = join(modules, '@bantam', 'web');
  /** Packages that are linked, as a copy of their WebAssembly would take long. */
  const large = new Set(['onnxruntime-web']);

  before(() => {
    for (const [source, folder] of [
      ['bantam', join(modules, 'bantam')],
      ['torch', torch],
      ['web', web],
    ]) {
      packInto(join(root, 'packages', source), folder);
      const { dependencies } = readJson(join(folder, 'package.json'));
      for (const name of Object.keys(dependencies)) {
        if (large.has(name)) symlinkSync(join(root, 'node_modules', name), join(modules, name));
        else if (name !== '@bantam/torch') copyPackage(name, modules);
      }
    }
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }\n');
  });

  after(() => rmSync(project, { recursive: true, force: true }));

  /**
   * Runs Node in the project.
   *
   * @param {readonly string[]} args
   * @param {Record<string, string>} [env] all of its environment
   * @returns {Promise<{ code: number, stdout: string, stderr: string }>}
   */
  function node(args, env = {}) {
    return new Promise((resolve) => {
      execFile(process.execPath, args, { cwd: project, env }, (error, stdout, stderr) => {
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
      });
    });
  }

  for (const { version, folder } of COMPILERS) {
    it(`have declarations that TypeScript ${version} reads under strict`, async () => {
      const compiler = join(root, folder);
      const found = readJson(join(compiler, 'package.json')).version;
      assert.ok(found.startsWith(`${version}.`), `${compiler} holds ${found}: run npm ci`);
      const [, example = ''] =
        /```ts\n(.*?)```/s.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? [];
      assert.match(example, /from 'bantam'/);
      const imports = ['bantam', '@bantam/torch', '@bantam/web'].flatMap((name) =>
        Object.keys(readJson(join(modules, name, 'package.json')).exports)
          .filter((entry) => !entry.endsWith('.json'))
          .map((entry) => join(name, entry)),
      );
      const entries = imports.map((entry, index) => `export * as e${index} from '${entry}';\n`);
      const config = `tsconfig-${version}.json`;
      writeFileSync(join(project, 'example.ts'), example);
      writeFileSync(join(project, 'entries.ts'), entries.join(''));
      const compilerOptions = { strict: true, noEmit: true, module: 'nodenext', target: 'es2022' };
      writeFileSync(
        join(project, config),
        JSON.stringify({ compilerOptions, files: ['example.ts', 'entries.ts'] }),
      );
      const result = await node([join(compiler, 'bin', 'tsc'), '-p', config]);
      assert.deepEqual(result, { code: 0, stdout: '', stderr: '' });
    });
  }

  it('have a browser library that needs neither Bantam nor Node', async () => {
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    writeFileSync(join(project, 'web.ts'), `export * from '@bantam/web';\n`);
    const options = ['--strict', '--module', 'nodenext', '--target', 'es2022'];
    const { code, stdout } = await node([compiler, ...options, '--listFilesOnly', 'web.ts']);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /@bantam\/web\/dist\/index\.d\.ts/);
    assert.doesNotMatch(stdout, /node_modules\/(bantam|@bantam\/torch|@types)\//);
    const library = readFileSync(join(web, 'build/library/index.js'), 'utf8');
    const imports = [...library.matchAll(/(?:from |import\()"([^".]+)"/g)].map(([, name]) => name);
    assert.deepEqual([...new Set(imports)].sort(), [
      'onnxruntime-web/wasm',
      'onnxruntime-web/webgpu',
    ]);
  });

  it('have the page that bantam export --to web copies', async () => {
    const script = `
      const { existsSync, readdirSync } = await import('node:fs');
      const { pageFolder, runtimeFiles } = await import('@bantam/web/page');
      console.log(JSON.stringify([readdirSync(pageFolder), runtimeFiles.every(existsSync)]));`;
    const { stdout, stderr } = await node(['--input-type=module', '-e', script]);
    const [files, complete] = JSON.parse(stdout === '' ? assert.fail(stderr) : stdout);
    for (const file of ['index.html', 'page.css', 'page.js', 'worker.js']) {
      assert.ok(files.includes(file), file);
    }
    assert.equal(complete, true);
  });

  it('name "npx bantam setup" where no install script ran', async () => {
    const bantam = join(modules, 'bantam', 'bin', 'bantam.js');
    const { code, stdout, stderr } = await node([bantam, 'models', 'show', 'ViT-Nano-8-64']);
    const sentence =
      /^(error: )?The native addon of @bantam\/torch is not here yet: run "npx bantam setup", which [^.\n]*\.\n$/;
    assert.match(stderr, sentence);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
    for (const entry of ['@bantam/torch', '@bantam/torch/image', 'bantam']) {
      const script = `await import('${entry}').catch((error) => console.log(error.message));`;
      const { stdout } = await node(['--input-type=module', '-e', script]);
      assert.match(stdout, sentence);
    }
  });

  const skip = process.platform !== 'linux' && 'platform packages are made on Linux';
  const folder = join(modules, platformPackage());
  const setup = [join(modules, 'bantam', 'bin', 'bantam.js'), 'setup', '--json'];
  /** An environment without a compiler. */
  const bare = () => ({
    PATH: '/nonexistent',
    BANTAM_CACHE: join(project, 'cache'),
    BANTAM_CUDA: '0',
    BANTAM_LIBTORCH: readJson(join(built, 'build.json')).libtorch,
  });

  it('take the addon from the platform package, without a compiler', { skip }, async () => {
    writePlatformPackage({ torch, built, folder });
    const first = await node(setup, bare());
    assert.equal(first.code, 0, first.stderr);
    assert.equal(JSON.parse(first.stdout).addon, `taken from ${platformPackage()}`);
    for (const name of ADDONS) {
      assert.deepEqual(readFileSync(join(torch, 'build', name)), readFileSync(join(folder, name)));
    }
    const again = await node(setup, bare());
    assert.equal(JSON.parse(again.stdout).addon, 'up to date');
    const script = `
      const { sum, tensor } = await import('@bantam/torch');
      const { resampleForms } = await import('@bantam/torch/image');
      console.log(sum(tensor([20, 22])).item(), resampleForms[0]);`;
    const { stdout, stderr } = await node(['--input-type=module', '-e', script]);
    assert.equal(stdout, '42 plain\n', stderr);
  });

  it('refuse a damaged platform package and say so', { skip }, async () => {
    writePlatformPackage({ torch, built, folder });
    appendFileSync(join(folder, 'bantam_image.node'), 'x');
    const { code, stderr } = await node(setup, bare());
    assert.equal(code, 1);
    assert.match(stderr, /compiled here: ".*bantam_image\.node" is damaged\n/);
    assert.match(stderr, /error: There is no C\+\+ compiler/);
  });
});
