/**
 * A server under load: requests per second of one client and of many, then latency at 50, 80 and 120 % of
 * what it can do, and memory over time. Every request is one item, a text of its own or a photograph.
 *
 *     node recipes/serve-load.js --model DIR [--kind text] [--image photo.jpg] [--seconds 30] [--set name=value …] [--out result.json]
 *
 * The load comes from the same machine and takes part of its cores; `taskset -c 1 node recipes/serve-load.js
 * --cpus 0 …` keeps the server on one core and the load on another (Linux). autocannon sends what a rate allows at
 * the start of each second; so a rate is shared by 25 of them that start 40 ms apart. Latencies are of
 * answers with status 200.
 */
import './shared/one-sentence.js';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import autocannon from 'autocannon';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    kind: { type: 'string', default: 'text' },
    image: { type: 'string' },
    seconds: { type: 'string', default: '30' },
    clients: { type: 'string', default: '64' },
    overload: { type: 'string', default: '256' },
    precision: { type: 'string', default: 'fp32' },
    set: { type: 'string', multiple: true, default: [] },
    cpus: { type: 'string' },
    out: { type: 'string' },
  },
});
const { model, kind } = values;
if (model === undefined) throw new Error('Give --model DIR; see the top of this file.');
if (kind === 'image' && values.image === undefined) throw new Error('Give --image FILE.');
const seconds = Number(values.seconds);

/** Base64 of the image that all requests send. */
const photo = values.image === undefined ? '' : readFileSync(values.image).toString('base64');
const words = ['red', 'blue', 'small', 'old', 'happy', 'cat', 'dog', 'shoe', 'shirt', 'hat'];

/** Body of the n-th request. @param {number} n */
function bodyOf(n) {
  const input =
    kind === 'image'
      ? [{ image: `data:image/jpeg;base64,${photo}` }]
      : `a ${words[n % 10]} ${words[Math.floor(n / 10) % 10]} ${n}`;
  return JSON.stringify({ input, encoding_format: 'base64' });
}

/** Starts a server; resolves once it listens. @param {readonly string[]} settings */
async function startServer(settings) {
  const bin = fileURLToPath(new URL('../packages/bantam/bin/bantam.js', import.meta.url));
  const sets = settings.flatMap((setting) => ['--set', setting]);
  const args = ['serve', `m=${model}`, '--port', '0', '--precision', values.precision, ...sets];
  const pinned = values.cpus === undefined ? [] : ['taskset', '-c', values.cpus];
  const [command, ...rest] = [...pinned, process.execPath, bin, ...args];
  const child = spawn(command, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  child.stderr.setEncoding('utf8');
  const url = await new Promise((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      text += chunk;
      const [found] = /http:\/\/\S+\d/.exec(text) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.on('exit', () => reject(new Error(text)));
  });
  const stop = async () => {
    child.kill('SIGTERM');
    await new Promise((resolve) => child.on('exit', resolve));
  };
  return { url, pid: child.pid, stop };
}

/** MB of a process and of its children. @param {number} pid */
function residentMegabytes(pid) {
  const of = (/** @type {number | string} */ id) =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, 'utf8'))?.[1]) / 1000;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/);
  return { server: of(pid), model: children.filter(Boolean).reduce((sum, id) => sum + of(id), 0) };
}

let sent = 0;

/** Instances of autocannon that share a rate. */
const senders = 25;

/**
 * One phase of load.
 *
 * @param {Awaited<ReturnType<typeof startServer>>} server
 * @param {{ connections: number, rate?: number }} options
 */
async function load(server, { connections, rate }) {
  const memory = [residentMegabytes(server.pid)];
  const timer = setInterval(() => memory.push(residentMegabytes(server.pid)), 1000);
  const slowest = { healthMs: 0 };
  const health = setInterval(async () => {
    const start = performance.now();
    await globalThis.fetch(`${server.url}/healthz`).then((response) => response.text());
    slowest.healthMs = Math.max(slowest.healthMs, performance.now() - start);
  }, 2000);
  const latencies = [];
  const send = (share) =>
    autocannon({
      url: `${server.url}/v1/embeddings`,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      duration: seconds,
      timeout: 60,
      ...share,
      setupClient: (client) => {
        const next = () => client.setBody(bodyOf(sent++));
        next();
        client.on('response', (status, _, milliseconds) => {
          if (status === 200) latencies.push(milliseconds);
          next();
        });
      },
    });
  const results =
    rate === undefined
      ? [await send({ connections })]
      : await Promise.all(
          Array.from({ length: senders }, async (_, i) => {
            await sleep((1000 * i) / senders);
            const share = { connections: Math.ceil(connections / senders) };
            return send({ ...share, overallRate: Math.max(1, Math.round(rate / senders)) });
          }),
        );
  clearInterval(timer);
  clearInterval(health);
  const statuses = {};
  for (const { statusCodeStats = {} } of results) {
    for (const [code, { count }] of Object.entries(statusCodeStats)) {
      statuses[code] = (statuses[code] ?? 0) + count;
    }
  }
  latencies.sort((a, b) => a - b);
  const quantile = (q) =>
    Math.round(latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))]);
  const at = (fraction) => memory[Math.floor(fraction * (memory.length - 1))];
  return {
    connections,
    ...(rate !== undefined && { rate }),
    perSecond: latencies.length / results[0].duration,
    latency: { p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99), max: quantile(1) },
    statuses,
    errors: results.reduce((sum, { errors }) => sum + errors, 0),
    healthMs: Math.round(slowest.healthMs),
    memory: [at(0), at(0.25), at(0.5), at(0.75), at(1)],
  };
}

const rows = [];

/** Runs a phase and prints its line. */
async function phase(name, server, options) {
  const row = { name, ...(await load(server, options)) };
  rows.push(row);
  const { p50, p90, p99, max } = row.latency;
  const [, , , , last] = row.memory;
  const first = row.memory[0];
  const counts = Object.entries(row.statuses).map(([code, count]) => `${count} × ${code}`);
  console.log(
    `| ${name} | ${row.perSecond.toFixed(1)} | ${p50} | ${p90} | ${p99} | ${max} | ${counts.join(', ')} | ${row.errors} | ${row.healthMs} | ${first.server.toFixed(0)} → ${last.server.toFixed(0)} | ${first.model.toFixed(0)} → ${last.model.toFixed(0)} |`,
  );
  return row;
}

console.log(
  '| load | 200 per s | p50 ms | p90 | p99 | max | answers | errors | slowest health ms | server MB | model MB |',
);
console.log('| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |');

const clients = Number(values.clients);
const alone = await startServer([...values.set, 'batch.size=1', 'batch.waitMs=0']);
await phase('one client, batches of 1', alone, { connections: 1 });
await phase(`${clients} clients, batches of 1`, alone, { connections: clients });
await alone.stop();

const queue = ['limits.queue=128', 'limits.items=128'];
const server = await startServer([...values.set, ...queue]);
await phase('one client', server, { connections: 1 });
const { perSecond } = await phase(`${clients} clients`, server, { connections: clients });
for (const fraction of [0.5, 0.8, 1.2]) {
  await phase(`${fraction * 100} % of that`, server, {
    connections: fraction > 1 ? Number(values.overload) : clients,
    rate: Math.max(1, Math.round(fraction * perSecond)),
  });
}
await server.stop();
if (values.out !== undefined) writeFileSync(values.out, JSON.stringify(rows, null, 2));
