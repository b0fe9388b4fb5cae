import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { equal, loadSafetensors, mul, scope, to, type Tensor } from '@bantam/torch';
import { openWeights } from '../dist/models/index.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/pickles/${name}`, import.meta.url));

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'bantam-pickles-'));
});
after(() => rm(root, { recursive: true }));

type Tensors = ReadonlyMap<string, Tensor>;

/** Every tensor has the type, shape and elements that Python saved. */
function assertSame(found: Tensors, expected: Tensors): void {
  assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort());
  for (const [name, value] of expected) {
    const own = found.get(name) ?? assert.fail(name);
    assert.deepEqual([own.dtype, own.shape], [value.dtype, value.shape], name);
    assert.ok(equal(own, value), name);
  }
}

const named = (tensors: Tensors, change: (name: string, value: Tensor) => [string, Tensor]) =>
  new Map([...tensors].map(([name, value]) => change(name, value)));

const valuesOf = (name = 'values.safetensors'): Tensors => loadSafetensors(fixture(name)).tensors;

describe('openWeights of files of torch.save', () => {
  for (const name of ['zip.pt', 'legacy.pt', 'deflated.pt']) {
    it(`reads every element type, view, stride and shared storage of ${name}`, () => {
      scope(() => {
        const weights = openWeights([fixture(name)]);
        assertSame(weights.read(), valuesOf());
        assert.deepEqual(weights.shapes.get('steps'), [3, 2]);
        assert.equal(weights.scripted, false);
      });
    });
  }

  it('reads the parameters and buffers of a TorchScript archive as its state_dict() names them', () => {
    scope(() => {
      const weights = openWeights([fixture('script.pt')]);
      assert.equal(weights.scripted, true);
      assertSame(weights.read(), valuesOf('values.script.safetensors'));
    });
  });

  it("reads the model of a Lightning checkpoint, without the loss's parameters", () => {
    scope(() => {
      const expected = named(valuesOf(), (name, value) => [`visual.${name}`, value]);
      assertSame(openWeights([fixture('checkpoint.ckpt')]).read(), expected);
    });
  });

  it('prefers the moving average of the weights', () => {
    scope(() => {
      const expected = named(valuesOf(), (name, value) => [
        `visual.${name}`,
        mul(to(value, { dtype: 'float32' }), 2),
      ]);
      assertSame(openWeights([fixture('averaged.pt')]).read(), expected);
    });
  });

  it('refuses a pickle that would run code, by the name of what it asks for, and runs nothing', () => {
    assert.throws(() => openWeights([fixture('code.pt')]), {
      name: 'BantamError',
      message:
        /code\.pt asks for posix\.system and is not read: .* save the model's state_dict\(\)/,
    });
    assert.ok(!existsSync('bantam-pickle-ran'));
  });

  it('refuses a pickled module by its class', () => {
    assert.throws(() => openWeights([fixture('module.pt')]), {
      name: 'BantamError',
      message: /asks for torch\.nn\.modules\.linear\.Linear/,
    });
  });

  for (const name of ['zip.pt', 'legacy.pt', 'script.pt']) {
    it(`refuses ${name} cut anywhere, naming the file`, async () => {
      const whole = await readFile(fixture(name));
      const path = join(root, name);
      for (let length = 0; length < whole.length; length += 97) {
        await writeFile(path, whole.subarray(0, length));
        assert.throws(
          () => {
            scope(() => openWeights([path]).read().size);
          },
          (error) =>
            error instanceof Error && error.name === 'BantamError' && error.message.includes(path),
          `${length} bytes`,
        );
      }
    });
  }

  for (const [what, content, message] of [
    [
      'a pointer of Git LFS',
      'version https://git-lfs.github.com/spec/v1\noid sha256:0\n',
      /git lfs pull/,
    ],
    ['a web page', '<!DOCTYPE html><html></html>', /web page/],
    ['a pickle of something else', Buffer.from('80024b012e', 'hex'), /torch\.save did not write/],
    ['an empty file', '', /neither a file of PyTorch nor of safetensors/],
  ] as const) {
    it(`refuses ${what} in the place of weights`, async () => {
      const path = join(root, 'weights.pt');
      await writeFile(path, content);
      assert.throws(() => openWeights([path]), { name: 'BantamError', message });
    });
  }
});
