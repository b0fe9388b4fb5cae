import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { encodePixels, encodeTexts, loadModel } from 'bantam';
import { decodeImage, evalTransform } from 'bantam/experimental';
import { saveTinyModel } from '../dist/test-support/saved-model.js';
import { expectFailure, start, type Running } from './bantam.js';
import { dataUri, photograph, plainPng, post, send, sendRaw, type Answer } from './serve-client.js';
import { temporaryFolder } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1' };
const model = join(cwd, 'model');

before(() => saveTinyModel(model));
after(() => rm(cwd, { recursive: true }));

/** A server of the command line, at a port that was free. */
async function startServer({
  directory = 'model',
  args = [],
}: { directory?: string; args?: readonly string[] } = {}): Promise<Running & { url: string }> {
  const server = start(['serve', `tiny=${directory}`, '--port', '0', ...args], { cwd, env });
  let stderr = '';
  server.process.stderr?.on('data', (text: string) => (stderr += text));
  await server.printed(/Listening at/);
  const [url = assert.fail(stderr)] = /http:\/\/\S+\d/.exec(stderr) ?? [];
  return { ...server, url };
}

/** Ends a server as a service manager does; it must end with status 0. */
async function stopServer({ process, ended }: Running): Promise<void> {
  process.kill('SIGTERM');
  assert.equal((await ended).status, 0);
}

/** Process ids of a server's models: its children. */
async function childrenOf({ process: { pid = 0 } }: Running): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.trim().split(/\s+/).filter(Boolean).map(Number);
}

/** False for a process that has ended, also while nobody has asked for its status (`Z`). */
async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z');
  return !stat.includes(') Z');
}

const embed = (url: string, input: unknown): Promise<Answer> =>
  post(`${url}/v1/embeddings`, { input, encoding_format: 'base64' });

/** Sends requests, a few at a time, until told to stop; gives every answer, or why there was none. */
function load(url: string, clients: number) {
  const answers: (Answer | Error)[] = [];
  let running = true;
  const client = async (id: number): Promise<void> => {
    for (let i = 0; running; i++) {
      const answer = await embed(url, `a text ${id} ${i}`).catch((error: unknown) =>
        error instanceof Error ? error : new Error(String(error)),
      );
      answers.push(answer);
      // Once the server is gone there is nobody to ask.
      if (answer instanceof Error) return;
    }
  };
  const clientsDone = Array.from({ length: clients }, (_, id) => client(id));
  return {
    answers,
    stop: async (): Promise<void> => {
      running = false;
      await Promise.all(clientsDone);
    },
  };
}

/** True if a connection was refused, so that the server never had the request. */
function wasRefused(error: Error): boolean {
  return (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ECONNREFUSED';
}

const succeeded = (answer: Answer | Error): boolean =>
  !(answer instanceof Error) && answer.status === 200;

describe('bantam serve', () => {
  it("answers OpenAI's client as Bantam embeds itself", async () => {
    const server = await startServer();
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
    const loaded = await loadModel(model);
    const text = 'a red square';
    const inText = await encodeTexts(loaded, [text]);
    const [float, base64, image, models] = await Promise.all([
      client.embeddings.create({ model: 'tiny', input: text, encoding_format: 'float' }),
      // The client asks for base64 and decodes it.
      client.embeddings.create({ model: 'tiny', input: [text, 'another'] }),
      client.embeddings.create({
        model: 'tiny',
        // @ts-expect-error: OpenAI's embeddings are of texts.
        input: [{ image: dataUri(photograph(), 'image/jpeg') }],
      }),
      client.models.list(),
    ]);
    near(float.data[0]?.embedding, inText.toTypedArray());
    near(base64.data[0]?.embedding, inText.toTypedArray());
    assert.deepEqual(
      [float.object, float.model, float.usage.total_tokens > 0, base64.data.length],
      ['list', 'tiny', true, 2],
    );
    const pixels = evalTransform(await decodeImage(photograph()), loaded.preprocess);
    const shape = [1, pixels.height, pixels.width, 3] as const;
    near(image.data[0]?.embedding, encodePixels(loaded, { pixels: pixels.data, shape }));
    assert.deepEqual(models.data.map(({ id }) => id), ['tiny']); // prettier-ignore
    await assert.rejects(client.embeddings.create({ model: 'other', input: text }), OpenAI.NotFoundError); // prettier-ignore
    await assert.rejects(client.embeddings.create({ model: 'tiny', input: '' }), OpenAI.BadRequestError); // prettier-ignore
    await stopServer(server);
  });

  it('classifies as zero-shot evaluation does', async () => {
    const server = await startServer();
    const loaded = await loadModel(model);
    const labels = ['red square', 'blue square', 'green circle'];
    const png = await plainPng('#d22', 16, 16);
    const { body } = await post(`${server.url}/v1/classify`, {
      input: dataUri(png),
      labels,
      templates: ['a photo of a {}.'],
    });
    const { data, usage } = body as { data: { label: string; scores: { label: string; score: number; similarity: number }[] }[]; usage: { prompt_tokens: number } }; // prettier-ignore
    // The image has no tokens, the prompts of the labels have.
    const prompts = labels.map((label) => loaded.tokenizer.encode(`a photo of a ${label}.`));
    assert.equal(usage.prompt_tokens, prompts.flat().length);
    const scores = data[0]?.scores ?? assert.fail();
    const texts = await encodeTexts(
      loaded,
      labels.map((label) => `a photo of a ${label}.`),
    );
    const { data: pixels } = evalTransform(await decodeImage(png), loaded.preprocess);
    const image = encodePixels(loaded, { pixels, shape: [1, 16, 16, 3] });
    const width = image.length;
    const values = texts.toTypedArray();
    const cosines = labels.map((_, row) =>
      image.reduce((sum, value, i) => sum + value * Number(values[row * width + i]), 0),
    );
    for (const { label, similarity } of scores) {
      near([similarity], [cosines[labels.indexOf(label)] ?? Number.NaN]);
    }
    const scale = Math.exp(loaded.model.logitScale.item());
    const odds = cosines.map((cosine) => Math.exp(scale * cosine));
    const total = odds.reduce((sum, odd) => sum + odd);
    const best = odds.indexOf(Math.max(...odds));
    assert.equal(data[0]?.label, labels[best]);
    near([scores[0]?.score ?? 0], [(odds[best] ?? 0) / total]);
    near([scores.reduce((sum, { score }) => sum + score, 0)], [1]);
    await stopServer(server);
  });

  it('prints no warning of Node for a request of many items', async () => {
    const server = await startServer();
    const texts = Array.from({ length: 24 }, (_, i) => `text ${i}`);
    assert.equal((await embed(server.url, texts)).status, 200);
    server.process.kill('SIGTERM');
    const { status, stderr } = await server.ended;
    assert.equal(status, 0);
    assert.doesNotMatch(stderr, /Warning/);
  });

  it('loses no request when it is stopped under load', async () => {
    const server = await startServer();
    const traffic = load(server.url, 8);
    while (traffic.answers.length < 100) await sleep(5);
    server.process.kill('SIGTERM');
    const { status, stderr } = await server.ended;
    await traffic.stop();
    assert.equal(status, 0, stderr);
    for (const answer of traffic.answers) {
      assert.ok(
        succeeded(answer) || (answer instanceof Error && wasRefused(answer)),
        inspect(answer),
      );
    }
    assert.ok(traffic.answers.filter(succeeded).length >= 100);
  });

  it('serves a new model after SIGHUP, and drops no request meanwhile', async () => {
    const directory = join(cwd, 'changing');
    await saveTinyModel(directory);
    const server = await startServer({ directory });
    const before = await embed(server.url, 'a red square');
    const traffic = load(server.url, 4);
    await saveTinyModel(directory, 8);
    server.process.kill('SIGHUP');
    await server.printed(/Reloaded: tiny/);
    const after = await embed(server.url, 'a red square');
    await rm(directory, { recursive: true });
    server.process.kill('SIGHUP');
    await server.printed(/The models stay as they were: There is no folder .*changing/);
    const still = await embed(server.url, 'a red square');
    await traffic.stop();
    assert.ok(traffic.answers.length > 20);
    for (const answer of traffic.answers) assert.ok(succeeded(answer), inspect(answer));
    assert.throws(() => {
      near(vectorOf(after), vectorOf(before));
    });
    near(vectorOf(still), vectorOf(after));
    await stopServer(server);
  });

  it('answers again after its model was killed, and fails no request for it', async () => {
    const server = await startServer();
    const [child = assert.fail()] = await childrenOf(server);
    const traffic = load(server.url, 4);
    while (traffic.answers.length < 20) await sleep(5);
    process.kill(child, 'SIGKILL');
    await server.printed(/The model tiny is started anew/);
    const health = await send(`${server.url}/healthz`);
    await traffic.stop();
    for (const answer of traffic.answers) assert.ok(succeeded(answer), inspect(answer));
    assert.equal(health.status, 200);
    await stopServer(server);
  });

  it('leaves no process and no port behind when it is killed', async () => {
    const server = await startServer();
    const children = await childrenOf(server);
    const traffic = load(server.url, 2);
    while (traffic.answers.length < 10) await sleep(5);
    server.process.kill('SIGKILL');
    await server.ended;
    await traffic.stop();
    const { port } = new URL(server.url);
    const again = start(['serve', 'tiny=model', '--port', port], { cwd, env });
    await again.printed(/Listening at/);
    assert.ok(succeeded(await embed(server.url, 'a red square')));
    for (const child of children) assert.equal(await isRunning(child), false);
    await stopServer(again);
  });

  it('answers 429 with Retry-After when its queue is full, and health all the while', async () => {
    const limits = ['limits.items=8', 'limits.queue=8'].flatMap((value) => ['--set', value]);
    const server = await startServer({ args: limits });
    const batch = (id: number) => embed(server.url, Array.from({ length: 8 }, (_, i) => `text ${id} ${i}`)); // prettier-ignore
    const answers = await Promise.all(Array.from({ length: 12 }, (_, id) => batch(id)));
    const refused = answers.filter(({ status }) => status === 429);
    assert.equal(refused.length + answers.filter(succeeded).length, 12);
    assert.ok(refused.length > 0 && refused.length < 12);
    for (const { headers, body } of refused) {
      assert.ok(Number(headers.get('retry-after')) >= 1);
      assert.match(JSON.stringify(body), /"code":"queue_full"/);
    }
    assert.equal((await send(`${server.url}/healthz`)).status, 200);
    assert.ok(succeeded(await batch(99)));
    await stopServer(server);
  });

  it('counts in /metrics what it did', async () => {
    const server = await startServer();
    await embed(server.url, ['a', 'b', 'c']);
    await embed(server.url, '');
    const text = await (await fetch(`${server.url}/metrics`)).text();
    assert.match(text, /^bantam_items_total\{model="tiny",kind="text",outcome="embedded"\} 3$/m);
    assert.match(
      text,
      /^bantam_request_seconds_count\{route="\/v1\/embeddings",status="200"\} 1$/m,
    );
    assert.match(
      text,
      /^bantam_request_seconds_count\{route="\/v1\/embeddings",status="400"\} 1$/m,
    );
    assert.match(text, /^bantam_batch_size_sum\{model="tiny",kind="text"\} 3$/m);
    assert.match(text, /^bantam_items_pending\{model="tiny"\} 0$/m);
    await stopServer(server);
  });

  it('answers a request whose end comes after SIGTERM', async () => {
    const server = await startServer();
    const body = JSON.stringify({ input: 'a red square' });
    const head = `POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`; // prettier-ignore
    const answer = sendRaw(server.url, [`${head}${body.slice(0, 5)}`, '', '', body.slice(5)], 100);
    await sleep(50);
    server.process.kill('SIGTERM');
    assert.match(await answer, /^HTTP\/1\.1 200 OK[^]*connection: close/i);
    assert.equal((await server.ended).status, 0);
  });

  it('refuses wrong usage in one sentence', async () => {
    const fails = (args: string[], status: 1 | 2, message: RegExp) =>
      expectFailure(['serve', ...args], { status, message, cwd, env });
    await Promise.all([
      fails([], 2, /missing required argument 'model'/),
      fails(['nowhere'], 1, /There is no folder or file nowhere/),
      fails(['model', 'tiny=model', '--set', 'limits.qeue=5'], 2, /no setting 'limits.qeue' \(did you mean "limits.queue"\?\)/), // prettier-ignore
      fails(['a=model', 'a=model'], 1, /Two models have the name "a"/),
      fails(['model', '--host', '0.0.0.0'], 1, /anybody in the network could use the server/),
      fails(
        ['model', '--port', '99999'],
        2,
        /'99999' is invalid: It must be a port from 0 to 65535/,
      ),
      fails(['model', '--set', 'limits.queue=1'], 1, /128 items and the queue only 1/),
      fails(['model', '--api-key-file', 'nofile'], 1, /nofile: no such file/),
    ]);
  });
});

function vectorOf({ body }: Answer): Float32Array {
  const { data } = body as { data: { embedding: string }[] };
  const bytes = Buffer.from(data[0]?.embedding ?? assert.fail(), 'base64');
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

function near(actual: ArrayLike<number> | undefined, expected: ArrayLike<number | bigint>): void {
  assert.ok(actual);
  assert.equal(actual.length, expected.length);
  for (let i = 0; i < actual.length; i++) {
    assert.ok(Math.abs((actual[i] ?? Number.NaN) - Number(expected[i])) < 1e-5, `value ${i}`);
  }
}
