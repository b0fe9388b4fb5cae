import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  add_,
  fromTypedArray,
  liveTensors,
  loadSafetensors,
  readSafetensorsHeader,
  saveSafetensors,
  tensor,
  transpose,
  writeFileAtomic,
  type DType,
  type Tensor,
} from './index.js';

const fixture = fileURLToPath(new URL('../fixtures/dtypes.safetensors', import.meta.url));
const described = JSON.parse(
  readFileSync(new URL('../fixtures/dtypes.json', import.meta.url), 'utf8'),
) as {
  metadata: Record<string, string>;
  tensors: Record<string, { dtype: DType; shape: number[]; values: string[]; bytes: string }>;
  file: { sha256: string };
};

const folder = mkdtempSync(join(tmpdir(), 'bantam-safetensors-'));
after(() => {
  rmSync(folder, { recursive: true });
});

function hex(x: Tensor): string {
  const array = x.toTypedArray();
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('hex');
}

/** A file of a header as given and data bytes. */
function fileOf(name: string, header: unknown, data: Uint8Array, pad = 0): string {
  const text = Buffer.from(
    (typeof header === 'string' ? header : JSON.stringify(header)) + ' '.repeat(pad),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([length, text, data]));
  return path;
}

describe('safetensors', () => {
  it('reads every type as PyTorch wrote it, names and metadata included', () => {
    const { tensors, metadata } = loadSafetensors(fixture);
    assert.deepEqual({ ...metadata }, described.metadata);
    assert.deepEqual([...tensors.keys()].sort(), Object.keys(described.tensors).sort());
    for (const [name, expected] of Object.entries(described.tensors)) {
      const found = tensors.get(name);
      assert.ok(found, name);
      assert.equal(found.dtype, expected.dtype, name);
      assert.deepEqual(found.shape, expected.shape, name);
      assert.equal(hex(found), expected.bytes, name);
      if (expected.dtype.startsWith('int')) continue;
      assert.deepEqual(
        found.toArray(),
        expected.values.map((v) => Number(v.replace('inf', 'Infinity'))),
      );
      found.dispose();
    }
  });

  it('writes the same bytes as the reference implementation', () => {
    const { tensors, metadata } = loadSafetensors(fixture);
    const path = join(folder, 'copy.safetensors');
    saveSafetensors(path, new Map([...tensors].reverse()), { metadata });
    const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    assert.equal(sha256, described.file.sha256);
    for (const each of tensors.values()) each.dispose();
  });

  it('leaves nothing alive but the tensors, and the file unchanged when one is changed', () => {
    const before = liveTensors();
    const bytes = readFileSync(fixture);
    const { tensors } = loadSafetensors(fixture);
    assert.equal(liveTensors(), before + tensors.size);
    const floats = tensors.get('float32');
    assert.ok(floats);
    add_(floats, 1);
    assert.equal(floats.toArray()[2], 2);
    assert.deepEqual(readFileSync(fixture), bytes);
    for (const each of tensors.values()) each.dispose();
    assert.equal(liveTensors(), before);
  });

  it('reads tensors that are not aligned', () => {
    const data = Buffer.from(new Float32Array([1.5, -2]).buffer);
    const header = { x: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } };
    for (const pad of [0, 1, 2, 3]) {
      const { tensors } = loadSafetensors(fileOf(`odd${pad}.safetensors`, header, data, pad));
      assert.deepEqual(tensors.get('x')?.toArray(), [1.5, -2]);
    }
  });

  it('writes a tensor that is not contiguous in row-major order', () => {
    const path = join(folder, 'fresh.safetensors');
    const turned = transpose(
      tensor([
        [1, 2, 3],
        [4, 5, 6],
      ]),
      0,
      1,
    );
    saveSafetensors(path, new Map([['w', turned]]));
    const { metadata, fileBytes } = readSafetensorsHeader(path);
    assert.deepEqual({ ...metadata }, {});
    assert.equal(fileBytes % 8, 0);
    const w = loadSafetensors(path).tensors.get('w');
    assert.deepEqual(w?.shape, [3, 2]);
    assert.deepEqual(w.toArray(), [1, 4, 2, 5, 3, 6]);
  });

  const good = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };
  const eight = new Uint8Array(8);
  const broken: readonly (readonly [string, unknown, Uint8Array, RegExp])[] = [
    ['not JSON', '{"x":', eight, /header is not JSON/],
    ['a list', '[1]', eight, /not a JSON object/],
    ['an entry without shape', { x: { dtype: 'F32' } }, eight, /describes 'x' without/],
    ['negative offsets', { x: { ...good, data_offsets: [-8, 0] } }, eight, /describes 'x' without/],
    ['an unknown type', { x: { ...good, dtype: 'F4' } }, eight, /type F4, which is not supported/],
    [
      'a shape that does not fit',
      { x: { ...good, shape: [3] } },
      eight,
      /needs 12 bytes but has 8/,
    ],
    ['missing bytes', { x: good }, eight.subarray(1), /cut short/],
    ['left-over bytes', { x: good }, new Uint8Array(9), /1 bytes follow/],
    ['an overlap', { x: good, y: good }, eight, /do not follow/],
    ['a gap', { x: { ...good, data_offsets: [4, 12] } }, new Uint8Array(12), /do not follow/],
    ['metadata that are not text', { __metadata__: { a: 1 }, x: good }, eight, /metadata/],
  ];
  for (const [what, header, data, message] of broken) {
    it(`refuses ${what}, naming the file`, () => {
      const path = fileOf('broken.safetensors', header, data);
      assert.throws(() => loadSafetensors(path), { name: 'TorchError', message });
      assert.throws(() => loadSafetensors(path), { message: /broken\.safetensors/ });
    });
  }

  it('refuses a file cut anywhere', () => {
    const whole = readFileSync(fixture);
    const path = join(folder, 'cut.safetensors');
    for (let length = 0; length < whole.length; length += 37) {
      writeFileSync(path, whole.subarray(0, length));
      assert.throws(() => loadSafetensors(path), {
        name: 'TorchError',
        message: /cut\.safetensors .*fetch or save it again/,
      });
    }
  });

  it('says why a file cannot be read', () => {
    assert.throws(() => loadSafetensors(join(folder, 'none')), { message: /no such file/ });
    assert.throws(() => loadSafetensors(folder), { message: /is a folder/ });
  });
});

describe('writeFileAtomic', () => {
  it('keeps the old file when writing fails half-way', () => {
    const path = join(folder, 'state.bin');
    writeFileAtomic(path, [Buffer.from('old')]);
    function* failing(): Iterable<Uint8Array> {
      yield Buffer.from('new');
      throw new RangeError('lost');
    }
    assert.throws(() => {
      writeFileAtomic(path, failing());
    }, RangeError);
    assert.equal(readFileSync(path, 'utf8'), 'old');
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.tmp')),
      [],
    );
  });

  it('replaces the file behind a symbolic link, not the link', () => {
    const [file, link] = [join(folder, 'behind.bin'), join(folder, 'link.bin')];
    writeFileSync(file, 'old');
    symlinkSync('behind.bin', link);
    writeFileAtomic(link, [Buffer.from('new')]);
    assert.equal(readFileSync(file, 'utf8'), 'new');
    assert.ok(lstatSync(link).isSymbolicLink());
  });

  it(
    'writes to a pipe and leaves it in place',
    { skip: process.platform === 'win32' },
    async () => {
      const pipe = join(folder, 'pipe');
      execFileSync('mkfifo', [pipe]);
      const reader = spawn('cat', [pipe], { stdio: ['inherit', 'pipe', 'inherit'] });
      let read = '';
      reader.stdout.setEncoding('utf8').on('data', (text: string) => (read += text));
      writeFileAtomic(pipe, [Buffer.from('to '), Buffer.from('a pipe')]);
      await once(reader, 'close');
      assert.equal(read, 'to a pipe');
      assert.ok(lstatSync(pipe).isFIFO());
    },
  );

  it('says what to do where it cannot write', () => {
    const x = new Map([['x', fromTypedArray(new Float32Array(4096))]]);
    const failure = (path: string, message: RegExp): void => {
      assert.throws(
        () => {
          saveSafetensors(path, x);
        },
        { name: 'TorchError', message },
      );
    };
    failure(join(folder, 'nowhere', 'x.safetensors'), /folder does not exist; make/);
    const taken = join(folder, 'taken');
    mkdirSync(taken);
    failure(taken, /folder of that name/);
    const closed = join(folder, 'closed');
    mkdirSync(closed);
    chmodSync(closed, 0o500);
    if (process.getuid?.() !== 0) failure(join(closed, 'x'), /may not be written/);
    if (existsSync('/proc/version')) failure('/proc/x', /could not be written/);
  });
});
