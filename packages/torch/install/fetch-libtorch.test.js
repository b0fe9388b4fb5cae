import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { libtorchFromCache } from './fetch-libtorch.js';
import { LIBTORCH_VERSION } from './libtorch-version.js';
import { libtorchFiles, temporaryFolder, writeFiles } from './testing.js';

/**
 * A dummy Python whose pip copies the folder `wheel` and notes its arguments in `calls`.
 *
 * @param {string} folder
 * @param {Record<string, string>} wheel files that pip installs
 * @param {string} [failure] what pip prints when it fails
 */
function fakePython(folder, wheel, failure) {
  writeFiles(join(folder, 'wheel'), wheel);
  const install = failure
    ? `mkdir -p "$target" && echo half > "$target/half"; echo '${failure}' >&2; exit 1`
    : `mkdir -p "$target" && cp -r "${folder}/wheel/." "$target"`;
  writeFiles(folder, {
    python: `#!/bin/sh
case "$*" in
  *version_info*) echo 3.11 ;;
  *"pip --version"*) echo "pip 24.0 from x (python 3.11)" ;;
  *"pip install"*)
    echo "$*" >> "${folder}/calls"
    while [ "$1" != --target ]; do shift; done
    target=$2
    ${install} ;;
esac
`,
  });
  chmodSync(join(folder, 'python'), 0o755);
  return {
    env: { ...process.env, BANTAM_PYTHON: join(folder, 'python') },
    calls: () => readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n'),
  };
}

/** @param {string} cuda its line in version.py */
function wheelFiles(cuda) {
  const torch = Object.entries(libtorchFiles(LIBTORCH_VERSION)).map(([name, text]) => [
    `torch/${name}`,
    text,
  ]);
  return {
    ...Object.fromEntries(torch),
    'torch/__init__.py': '',
    'torch/version.py': `__version__ = '${LIBTORCH_VERSION}+x'\n${cuda}\n`,
    'torch-1.dist-info/METADATA': 'Requires-Dist: cuda-toolkit[cufft,cupti]==13.0.3; x\n',
  };
}

describe('libtorchFromCache', () => {
  it('installs once, without what is not needed, and leaves nothing else', async (t) => {
    const folder = temporaryFolder(t);
    const cache = join(folder, 'cache');
    const { env, calls } = fakePython(folder, wheelFiles('cuda: Optional[str] = None'));
    const first = await libtorchFromCache({ cache, cuda: false, env, space: 0 });
    const second = await libtorchFromCache({ cache, cuda: false, env, space: 0 });
    assert.deepEqual(first, second);
    assert.equal(first.build, `${LIBTORCH_VERSION}+x`);
    assert.equal(calls().length, 1);
    assert.match(calls()[0] ?? '', new RegExp(`--no-deps torch==${LIBTORCH_VERSION}$`));
    assert.equal(readdirSync(join(cache, 'libtorch')).length, 1);
    assert.equal(existsSync(join(first.path, '__init__.py')), false);
  });

  it('lets two installs at once share one', async (t) => {
    const folder = temporaryFolder(t);
    const cache = join(folder, 'cache');
    const { env, calls } = fakePython(folder, wheelFiles('cuda: Optional[str] = None'));
    const options = { cache, cuda: false, env, space: 0 };
    const [one, two] = await Promise.all([libtorchFromCache(options), libtorchFromCache(options)]);
    assert.equal(one.path, two.path);
    assert.equal(calls().length, 1);
  });

  it('brings the libraries that a CUDA build links against', async (t) => {
    const folder = temporaryFolder(t);
    const { env, calls } = fakePython(folder, wheelFiles("cuda: Optional[str] = '13.0'"));
    await libtorchFromCache({ cache: join(folder, 'cache'), cuda: false, env, space: 0 });
    assert.equal(calls().length, 2);
    assert.match(calls()[1] ?? '', / cuda-toolkit\[cupti\]==13\.0\.3$/);
    assert.doesNotMatch(calls()[1] ?? '', /--no-deps/);
  });

  it('leaves nothing of a failed install, and clears what a killed one left', async (t) => {
    const folder = temporaryFolder(t);
    const cache = join(folder, 'cache');
    writeFiles(cache, { 'libtorch/staging-1/target/half': '' });
    const { env } = fakePython(folder, {}, 'ERROR: [Errno 28] No space left on device');
    await assert.rejects(libtorchFromCache({ cache, cuda: false, env, space: 0 }), /is full/);
    assert.deepEqual(readdirSync(join(cache, 'libtorch')), []);
  });

  it('installs again over a folder that lost files', async (t) => {
    const folder = temporaryFolder(t);
    const cache = join(folder, 'cache');
    const { env, calls } = fakePython(folder, wheelFiles('cuda: Optional[str] = None'));
    const { path } = await libtorchFromCache({ cache, cuda: false, env, space: 0 });
    rmSync(join(path, 'include'), { recursive: true });
    await libtorchFromCache({ cache, cuda: false, env, space: 0 });
    assert.equal(calls().length, 2);
    assert.equal(existsSync(join(path, 'include')), true);
  });
});
