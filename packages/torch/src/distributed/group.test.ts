import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { at } from '../at.js';
import { freePort, runGroup, type Ended } from './processes.test.helper.js';

/** The one line of JSON of each process. */
async function printed(size: number, body: string, rendezvous?: object): Promise<unknown[]> {
  const ends = await runGroup({ size, body, ...(rendezvous && { rendezvous }) });
  return ends.map(({ lines, stderr, code }) => {
    assert.equal(code, 0, lines.join('\n') + stderr);
    return JSON.parse(at(lines, 0)) as unknown;
  });
}

describe('joinGroup', () => {
  it('brings processes together over TCP', async () => {
    const body = `
      const group = await join({ facts: { version: '1' } });
      print(await group.exchange({ rank, text: 'ä'.repeat(rank) }));
      await group.leave();`;
    const all = [
      { rank: 0, text: '' },
      { rank: 1, text: 'ä' },
    ];
    assert.deepEqual(await printed(2, body, { host: '127.0.0.1', port: await freePort() }), [
      all,
      all,
    ]);
  });

  it('names what differs between the processes', async () => {
    const ends = await runGroup({
      size: 2,
      body: `await join({ facts: { version: '1.' + rank } });`,
    });
    for (const { lines, code } of ends) {
      assert.equal(code, 3);
      assert.equal(
        lines[0],
        'TorchError: Rank 1 has version 1.1, but rank 0 has 1.0; all processes of a group must have the same.',
      );
    }
  });

  it('names a process of a group of another size', async () => {
    const [end] = await runGroup({ size: 2, body: 'await join({ size: 2 + rank, arrival: 2 });' });
    assert.equal(
      end?.lines[0],
      'TorchError: Rank 1 has WORLD_SIZE 3, but rank 0 has 2; all processes of a group must have the same.',
    );
  });

  it('names the processes that do not come', async () => {
    const [end] = await runGroup({
      size: 3,
      started: [0],
      body: 'await join({ arrival: 0.5 });',
    });
    assert.equal(
      end?.lines[0],
      'TorchError: Ranks 1 and 2 of 3 did not come within 0.5 s; start all 3 processes with the same meeting point.',
    );
  });

  it('says that there is nobody at an address', async () => {
    const [end] = await runGroup({
      size: 2,
      started: [1],
      rendezvous: { host: '127.0.0.1', port: await freePort() },
      body: 'await join({ arrival: 1 });',
    });
    assert.match(
      String(end?.lines[0]),
      /^TorchError: Rank 1 could not reach rank 0 at 127\.0\.0\.1:\d+ within 1 s; check MASTER_ADDR and MASTER_PORT, and that rank 0 runs\.$/,
    );
  });

  it('says that a port is taken', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, resolve));
    const { port } = server.address() as AddressInfo;
    const [end] = await runGroup({
      size: 2,
      started: [0],
      rendezvous: { host: '127.0.0.1', port },
      body: 'await join({ arrival: 1 });',
    });
    server.close();
    assert.equal(
      end?.lines[0],
      `TorchError: Rank 0 cannot open port ${port} for the other processes, as another program has it; choose another MASTER_PORT.`,
    );
  });

  it('names a process that ends while others still come', async () => {
    const [end] = await runGroup({
      size: 3,
      started: [0, 1],
      body: `
        if (rank === 1) print('joins');
        await join({ patience: 4 });`,
      onStart: ([, second]) => {
        second?.stdout?.once('data', () => {
          setTimeout(() => second.kill('SIGKILL'), 3000);
        });
      },
    });
    assert.equal(
      end?.lines[0],
      'TorchError: Rank 1 of 3 has ended or hangs before all were connected.',
    );
  });
});

describe('ProcessGroup', () => {
  it('sums, gathers and copies tensors of three processes while timers run', async () => {
    const body = `
      const group = await join();
      const { fromTypedArray } = torch;
      let ticks = 0;
      const timer = setInterval(() => ticks++, 5);
      const sum = fromTypedArray(Float64Array.of(rank + 1, 0.25));
      const half = torch.to(fromTypedArray(Float32Array.of(rank, 1)), { dtype: 'bfloat16' });
      await group.allReduce([sum, half]);
      const most = fromTypedArray(Float32Array.of(rank, -rank));
      await group.allReduce([most], { op: 'max' });
      const rows = fromTypedArray(Float32Array.from({ length: 2 * (rank + 1) }, (_, i) => 10 * rank + i), { shape: [rank + 1, 2] });
      const all = await group.gatherRows(rows, [1, 2, 3]);
      const numbers = fromTypedArray(BigInt64Array.of(BigInt(rank), 7n));
      await group.broadcast([numbers], 1);
      if (rank === 2) await new Promise((resolve) => setTimeout(resolve, 200));
      await group.barrier();
      clearInterval(timer);
      await group.leave();
      print([sum.toArray(), half.toArray(), most.toArray(), all.shape, all.toArray(), numbers.toArray(), ticks > 5]);`;
    const expected = [
      [6, 0.75],
      [3, 3],
      [2, 0],
      [6, 2],
      [0, 1, 10, 11, 12, 13, 20, 21, 22, 23, 24, 25],
      [1, 7],
      true,
    ];
    assert.deepEqual(await printed(3, body), [expected, expected, expected]);
  });

  it('gives a sum within the graph the gradients of all losses', async () => {
    const body = `
      const group = await join();
      const x = torch.fromTypedArray(Float64Array.of(rank + 1, 2));
      x.requiresGrad = true;
      const total = group.sumOver(x);
      torch.sum(torch.mul(total, rank + 3)).backward();
      await group.leave();
      print([total.toArray(), x.grad.toArray()]);`;
    const expected = [
      [3, 4],
      [7, 7],
    ];
    assert.deepEqual(await printed(2, body), [expected, expected]);
  });

  it('normalises parts of a batch by the statistics of the whole', async () => {
    const body = `
      const group = await join();
      const { BatchNorm2d, Generator, add, mul, narrow, randn, sum } = torch;
      const x = add(randn([5, 3, 2, 2], new Generator({ seed: 1 })), 4);
      const upstream = randn([5, 3, 2, 2], new Generator({ seed: 2 }));
      const run = (sumOver, start, length) => {
        const layer = new BatchNorm2d({ channels: 3 });
        layer.sumOverParts = sumOver;
        const part = mul(narrow(x, 0, start, length), 1);
        part.requiresGrad = true;
        const y = layer.forward(part, { relu: true });
        sum(mul(y, narrow(upstream, 0, start, length))).backward();
        return { y, part, layer };
      };
      const whole = run(null, 0, 5);
      const [start, length] = rank === 0 ? [0, 2] : [2, 3];
      const own = run((sums) => group.sumOver(sums), start, length);
      await distributed.sumGradients(group, own.layer.parameters());
      await group.leave();
      const far = (a, b) => Math.max(...a.toArray().map((value, i) => Math.abs(value - b.toArray()[i])));
      print([
        far(own.y, narrow(whole.y, 0, start, length)),
        far(own.part.grad, narrow(whole.part.grad, 0, start, length)),
        far(own.layer.weight.grad, whole.layer.weight.grad),
        far(own.layer.bias.grad, whole.layer.bias.grad),
        far(own.layer.runningMean, whole.layer.runningMean),
        far(own.layer.runningVar, whole.layer.runningVar),
      ].map((distance) => distance < 1e-5));`;
    const near = Array.from({ length: 6 }, () => true);
    assert.deepEqual(await printed(2, body), [near, near]);
  });

  it('sums gradients that only one process has too, copies and gathers tensors', async () => {
    const body = `
      const group = await join();
      const leaf = (shape, dtype) => {
        const x = torch.zeros(shape, { dtype });
        x.requiresGrad = true;
        return x;
      };
      const parameters = [leaf([2, 2], 'float32'), leaf([3], 'float64'), leaf([], 'float32'), leaf([1], 'float32')];
      parameters[0].grad = torch.transpose(torch.fromTypedArray(Float32Array.of(1, 2, 3, 4).map((v) => v * (rank + 1)), { shape: [2, 2] }), 0, 1);
      if (rank === 0) parameters[1].grad = torch.fromTypedArray(Float64Array.of(1, 2, 3));
      parameters[2].grad = torch.full([], 0.5);
      await distributed.sumGradients(group, parameters);
      const state = [torch.full([2], rank), torch.full([1], rank + 5, { dtype: 'int64' })];
      await distributed.broadcastAll(group, state);
      const last = [torch.full([1], rank)];
      await distributed.broadcastAll(group, last, 1);
      const own = new Map([['a' + rank, torch.full([2], rank)], ['b' + rank, torch.full([1, 1], 7, { dtype: 'int64' })]]);
      const gathered = await distributed.gatherTensors(group, own);
      await group.leave();
      const theirs = [...gathered].map(([name, x]) => [name, x.shape, x.toArray()]);
      print([parameters.map(({ grad }) => grad?.toArray() ?? null), state.map((x) => x.toArray()), last[0].item(), theirs]);`;
    const expected = [[[3, 9, 6, 12], [1, 2, 3], [1], null], [[0, 0], [5]], 1];
    const theirs = [
      ['a1', [2], [1, 1]],
      ['b1', [1, 1], [7]],
    ];
    assert.deepEqual(await printed(2, body), [
      [...expected, theirs],
      [...expected, []],
    ]);
  });

  it('begins the sums of gradients during a backward pass, though more come later on', async () => {
    const body = `
      const group = await join();
      const leaves = ['float32', 'float64', 'float32'].map((dtype) => {
        const x = torch.ones([2], { dtype });
        x.requiresGrad = true;
        return x;
      });
      const sums = new distributed.GradientSums(group, leaves);
      const found = [];
      for (let step = 0; step < 6; step++) {
        for (const leaf of leaves) leaf.grad = null;
        // The first one goes backwards last, after the sum of its bucket has begun: in one process, then in both.
        const last = step > 3 - rank ? torch.sum(torch.mul(leaves[2], 100 * (rank + 1))) : null;
        const both = torch.add(
          torch.sum(torch.mul(leaves[0], step + rank + 1)),
          torch.sum(torch.mul(leaves[1], 10 * step + rank)),
        );
        const y = last === null ? both : torch.add(both, last);
        sums.during(() => y.backward());
        await sums.finish();
        found.push(leaves.map(({ grad }) => grad?.toArray() ?? null));
      }
      await group.leave();
      print(found);`;
    const expected = [0, 1, 2, 3, 4, 5].map((step) => {
      const [a, b] = [2 * step + 3, 20 * step + 1];
      const c = step > 3 ? 300 : 200;
      return [[a, a], [b, b], step < 3 ? null : [c, c]];
    });
    assert.deepEqual(await printed(2, body), [expected, expected]);
  });

  it('keeps the sums of gradients apart that share memory', async () => {
    const body = `
      const group = await join();
      const leaves = [1, 2].map(() => {
        const x = torch.zeros([1, 2]);
        x.requiresGrad = true;
        return x;
      });
      const shared = torch.full([2], rank + 1);
      for (const leaf of leaves) leaf.grad = torch.reshape(shared, [1, 2]);
      await distributed.sumGradients(group, leaves);
      await group.leave();
      torch.mul_(leaves[0].grad, 0);
      print(leaves.map(({ grad }) => grad.toArray()));`;
    const expected = [
      [0, 0],
      [3, 3],
    ];
    assert.deepEqual(await printed(2, body), [expected, expected]);
  });

  const waiting = `
      const group = await join({ patience: 5 });
      // Rank 0 can have joined while others still connect.
      await group.barrier();
      if (rank === 0) print('joined');
      for (;;) {
        await group.barrier();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }`;

  async function ending(size: number, victim: number, signal: NodeJS.Signals): Promise<Ended[]> {
    return await runGroup({
      size,
      body: waiting,
      onStart: (processes) => {
        at(processes, 0).stdout?.once('data', () => {
          at(processes, victim).kill(signal);
          if (signal === 'SIGSTOP') setTimeout(() => at(processes, victim).kill('SIGKILL'), 17_000);
        });
      },
    });
  }

  it('names a process that was killed', async () => {
    const ends = await ending(3, 1, 'SIGKILL');
    for (const rank of [0, 2]) {
      assert.equal(ends[rank]?.lines.at(-1), 'TorchError: Rank 1 of 3 has ended or hangs.');
    }
  });

  it('names a process that hangs, be it the first', async () => {
    const ends = await ending(2, 0, 'SIGSTOP');
    assert.equal(ends[1]?.lines.at(-1), 'TorchError: Rank 0 of 2 has ended or hangs.');
  });

  it('passes on why a process has failed', async () => {
    const body = `
      const group = await join();
      if (rank === 1) {
        await group.fail('Its disk is full.');
        throw new Error('Its disk is full.');
      }
      await group.barrier();`;
    const [first] = await runGroup({ size: 2, body });
    assert.equal(first?.lines[0], 'TorchError: Rank 1 of 2 has failed: Its disk is full.');
  });
});
