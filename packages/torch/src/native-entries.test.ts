/** The addon's functions under wrong arguments, each in a process of its own: none may end it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

/** Runs a script with `native` and `image` (the addons), `tensor` and `attempt`; returns what it printed. */
function runChild(body: string, seconds = 60): string[] {
  const script = `
    import { createRequire } from 'node:module';
    const require = createRequire('${import.meta.url}');
    const native = require('../build/bantam_torch.node');
    const image = require('../build/bantam_image.node');
    const tensor = () => native.fromTypedArray(new Float32Array(6), [2, 3], 6, true);
    const attempt = (run) => {
      try {
        const value = run();
        return value === undefined ? 'nothing' : JSON.stringify(value);
      } catch (error) {
        return error.constructor.name + ': ' + error.message;
      }
    };
    ${body}
    console.log('the end');`;
  const { stdout, stderr, status, signal } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', script],
    { encoding: 'utf8', timeout: seconds * 1000 },
  );
  const lines = stdout.trim().split('\n');
  assert.equal(
    lines.at(-1),
    'the end',
    `the process ended (status ${String(status)}, signal ${String(signal)}) after: ${String(lines.at(-1))}\n${stderr.slice(0, 2000)}`,
  );
  return lines.slice(0, -1);
}

/** Asserts what expressions over the addons throw or return. */
function assertOutcomes(cases: readonly (readonly [expression: string, expected: RegExp])[]): void {
  const script = cases.map(([expression]) => `console.log(attempt(() => ${expression}));`);
  const lines = runChild(script.join('\n'));
  for (const [i, [expression, expected]] of cases.entries()) {
    assert.match(String(lines[i]), expected, expression);
  }
}

describe('the addon', () => {
  it('throws a JavaScript error from every function that is given what it cannot take', () => {
    const lines = runChild(`
      const disposed = tensor();
      native.dispose(disposed);
      const values = [undefined, null, true, 0, -1, 1.5, NaN, 1e300, 7, 1n << 70n, 'cuda:99', [], [null],
        [1.5], [-1, -1], {}, () => {}, new Uint8Array(3), new Float64Array([NaN, -5, 1e300]),
        new Int32Array(11).fill(1 << 30), tensor(), disposed, native.createGenerator('cpu', 1n)];
      const names = Object.entries({ ...native, ...image }).filter(([, f]) => typeof f === 'function');
      for (const [name, f] of names) {
        console.log(name);
        let calls = 0, thrown = 0;
        const call = (...args) => {
          calls++;
          try { f(...args); } catch (error) {
            thrown++;
            if (!(error instanceof Error)) console.log('not an Error from ' + name);
          }
        };
        call();
        for (const a of values) {
          call(a);
          for (const b of values) {
            call(a, b);
            for (const c of [true, -1, [2.5], new Uint8Array(3), tensor()]) call(a, b, c, false, true);
          }
        }
        for (let i = 0; i < 1000; i++) try { native.endCheckpoint(); } catch { break; }
        native.setGradMode(true);
        native.setAutocast('cpu', null);
      }`);
    assert.ok(lines.includes('fromTypedArray') && lines.includes('resample'));
    assert.deepEqual(
      lines.filter((line) => line.startsWith('not an Error')),
      [],
    );
  });

  it('says which argument of which function is wrong', () => {
    assertOutcomes([
      ['native.shape(1)', /^TypeError: shape: expected a tensor, not 1/],
      ['native.device()', /^TypeError: device: expected a tensor, not undefined/],
      ['native.isContiguous(null)', /^TypeError: isContiguous: expected a tensor, not null/],
      ['native.getGrad({})', /^TypeError: getGrad: expected a tensor/],
      ['native.requiresGrad("x")', /^TypeError: requiresGrad: expected a tensor/],
      ['native.isLeaf([])', /^TypeError: isLeaf: expected a tensor/],
      ['native.setGradMode(1)', /^TypeError: setGradMode: argument 1 must be true or false, not 1/],
      ['native.schema(1e6)', /^RangeError: schema: argument 1 must be from 0/],
      ['native.call(-1, [])', /^RangeError: call: argument 1 must be from 0/],
      ['native.endCheckpoint()', /^Error: endCheckpoint: no checkpoint has begun/],
      ['native.footprint(new Float64Array([-5]))', /^RangeError: footprint: event 0 of the trace/],
      [
        'native.footprint(new Uint8Array(8))',
        /^TypeError: footprint: argument 1 must be a Float64/,
      ],
      [
        'native.setThreads(2.5)',
        /^TypeError: setThreads: argument 1 must be a whole number, not 2.5/,
      ],
      ['native.setThreads(2 ** 31 - 1)', /^RangeError: setThreads: argument 1 must be from 1/],
      [
        'native.createGenerator("cpu", -1n)',
        /^RangeError: createGenerator: argument 2 must be from 0/,
      ],
      ['native.setAutocast("cpu", 300)', /^RangeError: setAutocast: argument 2/],
      ['native.backward([null], [], false)', /^TypeError: backward: expected a tensor, not null/],
    ]);
  });

  it('refuses shapes with negative, broken or uncountable sizes', () => {
    const from = (array: string, shape: string): string =>
      `native.shape(native.fromTypedArray(new ${array}, ${shape}, 6, true))`;
    assertOutcomes([
      [from('Float32Array(6)', '[2, 3]'), /^\[2,3\]$/],
      [from('Float32Array(6)', '[-2, -3]'), /^RangeError: .*whole numbers from 0, not -2/],
      [from('Float32Array(3)', '[1.5, 2]'), /^RangeError: .*not 1.5/],
      [from('Float32Array(0)', '[NaN]'), /^RangeError: .*not NaN/],
      [from('Float32Array(0)', '[2 ** 32, 2 ** 32]'), /^RangeError: .*can be counted/],
      [from('Float32Array(0)', '[2 ** 62]'), /^RangeError: .*can be counted/],
      [
        'native.fromTypedArray(new Uint8Array(9).subarray(1), [2], 6, false)',
        /^RangeError: .*multiple of its elements' size/,
      ],
    ]);
  });

  it('refuses memory that no computer has', () => {
    const empty = (shape: string): string =>
      `native.shape(native.call(native.resolve('aten::empty', 'memory_format'), [${shape}, 0]))`;
    assertOutcomes([
      [empty('[2 ** 61, 3]'), /^Error: aten::empty: out of memory: no computer/],
      [empty('[2 ** 50]'), /^Error: aten::empty: out of memory: could not get/],
    ]);
  });

  it('counts no operations for a convolution without outputs', () => {
    const [line] = runChild(`
      const conv = native.resolve('aten::conv2d', '');
      const of = (shape) => native.fromTypedArray(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape, 6, true);
      native.startCounting();
      attempt(() => native.call(conv, [of([1, 3, 4, 4]), of([0, 3, 1, 1])]));
      console.log(native.stopCounting());`);
    assert.equal(line, '0');
  });

  it('refuses a layer norm over more dimensions than there are, on the meta device as well', () => {
    const [line] = runChild(`
      const empty = native.call(native.resolve('aten::empty', 'memory_format'), [[2], 6, null, 'meta']);
      const norm = native.resolve('aten::native_layer_norm', '');
      console.log(attempt(() => native.call(norm, [empty, [2, 2, 2, 2], null, null, 1e-5])));`);
    assert.match(line ?? '', /layer norm over 4 dimensions was given 1/);
  });
});

describe("an operator's arguments", () => {
  const shapeOf = (name: string, args: string, overload = ''): string =>
    `native.shape(native.call(native.resolve('${name}', '${overload}'), ${args}))`;
  const reshape = (args: string): string => shapeOf('aten::reshape', args);

  it('are whole numbers where the schema says so', () => {
    assertOutcomes([
      [
        reshape('[tensor(), [2.5, 4]]'),
        /^TypeError: aten::reshape: argument 'shape' .*whole number, not 2.5/,
      ],
      [reshape('[tensor(), [NaN]]'), /^TypeError: .*'shape' .*not NaN/],
      [reshape('[tensor(), ["6"]]'), /^TypeError: .*'shape' .*not a string/],
      [reshape('[tensor(), [null]]'), /^TypeError: .*'shape' .*not null/],
      [reshape('[tensor(), [1n << 64n]]'), /^TypeError: .*'shape' .*not 18446744073709551616/],
      [reshape('[tensor(), [2 ** 63]]'), /^TypeError: .*'shape' .*not 9223372036854/],
      [reshape('[null, [6]]'), /^TypeError: .*'self' .*must be a tensor, not null/],
      [reshape('[tensor(), [3n, 2]]'), /^\[3,2\]$/],
    ]);
  });

  it('are checked one by one in lists', () => {
    assertOutcomes([
      [shapeOf('aten::cat', '[[tensor(), 3]]'), /^TypeError: .*'tensors' .*a tensor, not 3/],
      [
        shapeOf('aten::fft_irfft2', '[tensor(), [4, true]]'),
        /^TypeError: .*'s' .*whole number, not true/,
      ],
      [
        shapeOf('aten::_upsample_bilinear2d_aa', '[tensor(), [2, 2], false, ["x"]]', 'vec'),
        /^TypeError: .*'scale_factors' .*a number, not a string/,
      ],
    ]);
  });

  it('may be lists of optional elements of any type', () => {
    const [line] = runChild(`
      const of = (values, shape) => native.fromTypedArray(Float32Array.from(values), shape, 6, true);
      const linear = native.resolve('mkldnn::_linear_pointwise', '');
      console.log(attempt(() => {
        const y = native.call(linear, [of([1, 2], [1, 2]), of([3, 4, -5, -6], [2, 2]), null, 'leaky_relu', [0.5], '']);
        return [...new Float32Array(native.copyToBuffer(y))];
      }));`);
    // leaky_relu([1·3 + 2·4, −1·5 − 2·6]) with slope ½
    assert.equal(line, '[11,-8.5]');
  });
});

describe('our own operators', () => {
  it('refuse shapes that do not belong together', () => {
    const of = (shape: string): string =>
      `native.fromTypedArray(new Float32Array(${shape}.reduce((a, b) => a * b, 1)), ${shape}, 6, true)`;
    const call = (name: string, ...args: string[]): string =>
      `native.shape([native.call(native.resolve('bantam::${name}', ''), [${args.join()}])].flat()[0])`;
    const map = of('[2, 3, 1, 1]');
    const three = of('[3]');
    const options = ['null', 'true', 'true', '0.1', '1e-5'];
    assertOutcomes([
      [call('attention', of('[1, 2, 96]'), '0', 'false'), /attention has at least one head, not 0/],
      [call('attention_applies', of('[1, 2, 96]'), '0'), /at least one head/],
      [
        call('quick_gelu_backward', of('[0]'), of('[64, 64]')),
        /gradient of quick GELU has the shape \[0\] where its input has \[64, 64\]/,
      ],
      [call('batch_norm_forward', map, three, three, three, three, ...options), /^\[2,3,1,1\]$/],
      [
        call('batch_norm_forward', map, three, of('[2]'), three, three, ...options),
        /batch norm of 3 channels takes as many/,
      ],
      [
        call('batch_norm', map, three, three, three, of('[1]'), ...options),
        /batch norm of 3 channels takes as many/,
      ],
      [
        call(
          'batch_norm_backward',
          of('[2, 3, 1, 2]'),
          map,
          three,
          three,
          three,
          three,
          'null',
          'false',
          'true',
        ),
        /batch norm's residual, result and gradient are of the shape/,
      ],
    ]);
  });
});

describe('the image addon', () => {
  const resize = (geometry: string): string =>
    `image.resample(new Uint8Array(12), Int32Array.of(${geometry}), new Uint8Array(12))`;

  it('resizes within its memory', () => {
    assertOutcomes([
      [resize('2, 2, 0, 0, 2, 2, 2, 2, 1, 1, 0'), /^nothing$/],
      [resize('2, 2, 0, 0, 2, 2, 1, 1, 1, 1, 99'), /^nothing$/],
    ]);
  });

  it('refuses geometry that does not fit its memory', () => {
    assertOutcomes([
      [
        resize('2, 2, 0, 0, 2, 2, 2, 2, 1, 1'),
        /^RangeError: resample: the geometry must have 11 numbers/,
      ],
      [
        resize('20, 20, 0, 0, 20, 20, 2, 2, 1, 1, 0'),
        /^RangeError: .*the image has 12 bytes where 1200/,
      ],
      [
        resize('2, 2, 0, 0, 2, 2, 20, 20, 1, 1, 0'),
        /^RangeError: .*the result has 12 bytes where 1200/,
      ],
      [resize('2, 2, 1, 0, 2, 2, 2, 2, 1, 1, 0'), /^RangeError: .*columns from 1 over 2 pixels/],
      [resize('2, 2, 0, -1, 2, 2, 2, 2, 1, 1, 0'), /^RangeError: .*rows from -1 over 2/],
      [
        resize('2, 2, 2147483647, 0, 2147483647, 2, 2, 2, 1, 1, 0'),
        /^RangeError: .*columns from 2147483647/,
      ],
      [resize('2, 2, 0, 0, 2, 0, 2, 2, 1, 1, 0'), /^RangeError: .*rows from 0 over 0/],
      [
        resize('-2, -2, 0, 0, 2, 2, 2, 2, 1, 1, 0'),
        /^RangeError: .*the image's width must be from 1/,
      ],
      [
        resize('2, 2, 0, 0, 2, 2, 2147483647, 0, 1, 1, 0'),
        /^RangeError: .*the result's width must be from 1/,
      ],
    ]);
  });

  it('refuses arrays of other types', () => {
    assertOutcomes([
      [
        'image.resample(new Float32Array(12), new Int32Array(11), new Uint8Array(12))',
        /^TypeError: resample: argument 1 must be a Uint8Array/,
      ],
      ['image.decodeJpeg(new Uint8Array(1))', /^TypeError: .*argument 2 is missing/],
    ]);
  });
});

describe('worker threads', () => {
  /** Workers that each run this with `native` and `worker`, their number. */
  const inWorkers = (count: number, body: string, after = ''): string => `
    const { Worker } = require('node:worker_threads');
    const script = \`
      const { workerData, parentPort } = require('node:worker_threads');
      const native = require(workerData.path);
      const worker = workerData.worker;
      ${body}\`;
    const path = require.resolve('../build/bantam_torch.node');
    const workers = Array.from({ length: ${count} }, (_, worker) =>
      new Worker(script, { eval: true, execArgv: [], workerData: { path, worker } }));
    ${after}
    await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
      worker.on('exit', resolve);
      worker.on('error', reject);
    })));`;

  it('resolve and call operators at the same time', () => {
    runChild(
      inWorkers(
        4,
        `
        for (let round = 0; round < 6000; round++) {
          const neg = native.resolve('aten::neg', '');
          const x = native.fromTypedArray(Float32Array.of(worker + 1), [1], 6, true);
          const y = native.call(neg, [x]);
          if (new Float32Array(native.copyToBuffer(y))[0] !== -1 - worker) throw new Error('wrong operator');
          native.dispose(x);
          native.dispose(y);
        }`,
      ),
    );
  });

  it('take and give back memory at the same time, which adds up', () => {
    const [line] = runChild(
      `${inWorkers(
        4,
        `
        const empty = native.resolve('aten::empty', 'memory_format');
        for (let round = 0; round < 2000; round++) {
          const sizes = [100, 5000, 300000, 1 << 20];
          const tensors = sizes.map((size) => native.call(empty, [[size + worker], 6]));
          for (const tensor of tensors) native.dispose(tensor);
        }`,
      )}
      const { liveBytes, liveTensors, peakBytes } = native.memoryStats();
      console.log(JSON.stringify([liveBytes, liveTensors, peakBytes > 4 * 2 ** 20]));`,
    );
    assert.equal(line, '[0,0,true]');
  });

  it('may be ended in the middle of their work', () => {
    const endAtOnce = `
      await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
      setTimeout(() => workers.forEach((worker) => worker.terminate()), 20);`;
    runChild(
      inWorkers(
        3,
        `
        const neg = native.resolve('aten::neg', '');
        const x = native.fromTypedArray(new Float32Array(1000), [1000], 6, true);
        // One of them within a checkpoint that never ends.
        if (worker === 0) native.beginCheckpoint([x], () => {});
        parentPort.postMessage('started');
        for (;;) native.shape(native.call(neg, [x]));`,
        endAtOnce,
      ),
    );
  });
});
