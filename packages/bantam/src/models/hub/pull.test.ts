import assert from 'node:assert/strict';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import {
  LoopbackHub,
  sendBytes,
  sha256,
  type Misbehaviour,
} from '../../test-support/loopback-hub.js';
import { cachedModel, pullFromHub, type PullOptions } from './pull.js';
import type { PullEvent } from './settings.js';

const weights = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * i) % 251));
const files = {
  'open_clip_config.json': Buffer.from('{"model_cfg": {}}'),
  'open_clip_model.safetensors': weights,
  'tokenizer.json': Buffer.from('{"model": {}}'),
  'README.md': Buffer.from('# A model'),
};
const name = { repository: 'owner/model', revision: 'main' };

let hub: LoopbackHub;
let root: string;
let events: PullEvent[];
let cacheDir: string;
let commit: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'bantam-hub-'));
  hub = await LoopbackHub.start();
});
after(async () => {
  await hub.stop();
  await rm(root, { recursive: true });
});
beforeEach(async () => {
  hub.requests.length = 0;
  hub.misbehave = () => false;
  hub.token = null;
  events = [];
  cacheDir = await mkdtemp(join(root, 'cache-'));
  commit = hub.put(name.repository, { files });
});

function pull(options: PullOptions = {}) {
  return pullFromHub(name, {
    endpoint: hub.endpoint,
    cacheDir,
    token: '',
    offline: false,
    retryDelay: 0.01,
    timeout: 5,
    onEvent: (event) => void events.push(event),
    ...options,
  });
}

/** Everything in the cache but locks, with the links' targets. */
async function listing(): Promise<string[]> {
  const entries = await readdir(cacheDir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory() && !entry.parentPath.includes('.locks'))
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const target = entry.isSymbolicLink() ? ` -> ${readlinkSync(path)}` : '';
      return `${path.slice(cacheDir.length + 1)}${target}`;
    })
    .sort();
}

const isWeights = (path: string): boolean => path === `/${sha256(weights)}`;

/** Misbehaves for the first requests of the weights, `times` of them. */
function atWeights(times: number, misbehave: Misbehaviour): Misbehaviour {
  let left = times;
  return (request, ...rest) => {
    if (!isWeights(request.path) || left === 0) return false;
    left--;
    return misbehave(request, ...rest);
  };
}

const cutAt =
  (bytes: number): Misbehaviour =>
  (request, response, body) => {
    const whole = body ?? assert.fail();
    const from = Number(/^bytes=(\d+)-/.exec(request.range ?? '')?.[1] ?? 0);
    response.statusCode = request.range === undefined ? 200 : 206;
    response.setHeader('content-range', `bytes ${from}-${whole.length - 1}/${whole.length}`);
    response.setHeader('content-length', String(whole.length - from));
    response.write(whole.subarray(from, from + bytes));
    // The client must have read it: what a broken connection still holds is lost.
    setTimeout(() => response.destroy(), 30);
    return true;
  };

const refusal = (message: RegExp) => ({ name: 'BantamError', message });

describe('pullFromHub', () => {
  it("fetches a model's files, and lays the cache out as huggingface_hub does", async () => {
    const pulled = await pull();
    const blob = `models--owner--model/blobs/${sha256(weights)}`;
    const folder = 'models--owner--model';
    const links = (await listing()).filter((entry) => entry.includes(' -> '));
    assert.deepEqual(
      links.map((entry) => entry.replace(/(?<=\/)[0-9a-f]{40}$/, 'SHA1')),
      [
        `${folder}/snapshots/${commit}/open_clip_config.json -> ../../blobs/SHA1`,
        `${folder}/snapshots/${commit}/open_clip_model.safetensors -> ../../blobs/${sha256(weights)}`,
        `${folder}/snapshots/${commit}/tokenizer.json -> ../../blobs/SHA1`,
      ],
    );
    assert.equal(readFileSync(join(cacheDir, folder, 'refs/main'), 'utf8'), commit);
    assert.deepEqual(await readFile(join(cacheDir, blob)), weights);
    assert.deepEqual(await readFile(pulled.weights), weights);
    assert.deepEqual(pulled.fetched, [
      'open_clip_config.json',
      'tokenizer.json',
      'open_clip_model.safetensors',
    ]);
    assert.ok(!(await listing()).some((entry) => entry.includes('incomplete')));
    assert.ok(events.some((event) => event.kind === 'progress' && event.done === event.total));
  });

  it('fetches nothing again, and finds the model in the cache without a request', async () => {
    await pull();
    const before = hub.downloads.length;
    assert.deepEqual((await pull()).fetched, []);
    assert.equal(hub.downloads.length, before);
    hub.requests.length = 0;
    const cached = await cachedModel(name, { cacheDir });
    assert.equal(cached?.commit, commit);
    assert.equal((await pull({ offline: true })).directory, cached.directory);
    assert.deepEqual(hub.requests, []);
  });

  it('takes blobs that another program fetched', async () => {
    const folder = join(cacheDir, 'models--owner--model/blobs');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, sha256(weights)), weights);
    await pull();
    assert.ok(!hub.downloads.some(({ path }) => isWeights(path)));
  });

  it('fetches what a revision has anew, and keeps the earlier commit', async () => {
    const first = await pull();
    hub.put(name.repository, {
      files: { ...files, 'open_clip_model.safetensors': Buffer.from(weights).reverse() },
    });
    const second = await pull();
    assert.notEqual(second.commit, first.commit);
    assert.deepEqual(second.fetched, [
      'open_clip_config.json',
      'tokenizer.json',
      'open_clip_model.safetensors',
    ]);
    assert.equal(hub.downloads.filter(({ path }) => path.includes('open_clip_config')).length, 1);
    const old = await cachedModel({ ...name, revision: first.commit }, { cacheDir });
    assert.deepEqual(await readFile(old?.weights ?? ''), weights);
  });

  it('fetches the parts that an index names', async () => {
    const index = { weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors' } };
    hub.put(name.repository, {
      files: {
        'config.json': Buffer.from('{}'),
        'model.safetensors.index.json': Buffer.from(JSON.stringify(index)),
        'model-1.safetensors': weights.subarray(0, 2000),
        'model-2.safetensors': weights.subarray(2000, 5000),
      },
    });
    const { fetched, directory } = await pull();
    assert.deepEqual(fetched.slice(2), ['model-1.safetensors', 'model-2.safetensors']);
    assert.ok((await cachedModel(name, { cacheDir })) !== null);
    await rm(join(directory, 'model-2.safetensors'));
    assert.equal(await cachedModel(name, { cacheDir }), null);
  });

  it('resumes where a connection was cut, as often as it brings something', async () => {
    hub.misbehave = atWeights(8, cutAt(30_000));
    assert.deepEqual(await readFile((await pull({ attempts: 2 })).weights), weights);
    const ranges = hub.downloads.filter(({ path }) => isWeights(path)).map(({ range }) => range);
    assert.equal(ranges.length, 9);
    assert.equal(ranges[0], undefined);
    const starts = ranges.slice(1).map((range) => Number(range?.slice(6, -1)));
    assert.ok(
      starts.every((start, i) => start > (starts[i - 1] ?? 0)),
      starts.join(),
    );
  });

  it('keeps what has arrived when attempts are used up, and resumes there the next time', async () => {
    let cut = false;
    hub.misbehave = atWeights(3, (...args) => {
      if (cut) return (void args[1].destroy(), true);
      cut = true;
      return cutAt(100_000)(...args);
    });
    await assert.rejects(
      pull({ attempts: 2 }),
      refusal(
        /broke the connection, 2 times in a row; what has arrived is kept, and the next attempt resumes there\.$/,
      ),
    );
    assert.equal(await cachedModel(name, { cacheDir }), null);
    hub.misbehave = () => false;
    assert.deepEqual(await readFile((await pull()).weights), weights);
    assert.match(hub.downloads.at(-1)?.range ?? '', /^bytes=[1-9]\d*-$/);
  });

  it('begins again if the server has no ranges', async () => {
    let first = true;
    hub.misbehave = (request, response, body) => {
      if (!isWeights(request.path)) return false;
      if (first) {
        first = false;
        return cutAt(50_000)(request, response, body);
      }
      sendBytes({ ...request, range: undefined }, response, body);
      return true;
    };
    assert.deepEqual(await readFile((await pull()).weights), weights);
  });

  it('refuses a file of another hash, twice, and keeps none of it', async () => {
    hub.misbehave = atWeights(2, (request, response) => {
      sendBytes(request, response, Buffer.from(weights).fill(7, 5, 6));
      return true;
    });
    await assert.rejects(
      pull(),
      refusal(
        /owner\/model\/open_clip_model\.safetensors arrived twice with another content than the Hub names \(hash [0-9a-f]{12}… instead of/,
      ),
    );
    assert.ok(!(await listing()).some((entry) => entry.includes(sha256(weights))));
    assert.deepEqual(await readFile((await pull()).weights), weights);
  });

  it('drops the rest of an earlier file that does not fit, and fetches it whole', async () => {
    const folder = join(cacheDir, 'models--owner--model/blobs');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${sha256(weights)}.bantam.incomplete`), Buffer.alloc(1000, 9));
    assert.deepEqual(await readFile((await pull()).weights), weights);
  });

  it('gives up on a server that sends nothing', async () => {
    hub.misbehave = atWeights(9, (_request, response) => {
      response.write('x');
      return true;
    });
    await assert.rejects(
      pull({ timeout: 0.05, attempts: 2 }),
      refusal(/sent nothing for 0\.05 seconds, 2 times in a row; what has arrived is kept/),
    );
  });

  it('waits as long as a server asks with 429, and gives up if that is too long', async () => {
    let wait = '0';
    hub.misbehave = atWeights(2, (_request, response) => {
      response.statusCode = 429;
      response.setHeader('retry-after', wait);
      response.end();
      wait = '3600';
      return true;
    });
    await assert.rejects(
      pull(),
      refusal(/answered 429 and asks to wait 3600 seconds; try again later\.$/),
    );
    const [retry] = events.filter((event) => event.kind === 'retry');
    assert.deepEqual([retry?.kind === 'retry' && retry.seconds], [0]);
  });

  it('tries again after 503, and says how often it did', async () => {
    let count = 0;
    hub.misbehave = (request, response) => {
      if (!request.path.startsWith('/api/')) return false;
      count++;
      response.statusCode = 503;
      response.end();
      return true;
    };
    await assert.rejects(
      pull({ attempts: 3 }),
      refusal(/answered 503, 3 times in a row; try again later\.$/),
    );
    assert.equal(count, 3);
  });

  it('says that a repository is not there', async () => {
    const options = { endpoint: hub.endpoint, cacheDir, token: '' };
    await assert.rejects(
      pullFromHub({ repository: 'owner/none', revision: 'main' }, options),
      refusal(/has no owner\/none at main \(404\): check the name\.$/),
    );
  });

  it('says that a revision is not there', async () => {
    await assert.rejects(
      pullFromHub({ ...name, revision: 'v9' }, { endpoint: hub.endpoint, cacheDir, token: '' }),
      refusal(/has the model, but not the revision of owner\/model at v9 \(404\)/),
    );
  });

  it('sends the token to the hub, never to the host of its storage, and never prints it', async () => {
    hub.token = 'hf_secret';
    await assert.rejects(
      pull(),
      refusal(/has no public owner\/model at main \(401\): check the name, or set HF_TOKEN/),
    );
    await assert.rejects(pull({ token: 'hf_wrong' }), (error: Error) => {
      assert.match(error.message, /refuses the token in HF_TOKEN for owner\/model at main \(401\)/);
      return !error.message.includes('hf_wrong');
    });
    hub.requests.length = 0;
    await pull({ token: 'hf_secret' });
    for (const { host, authorization } of hub.requests) {
      assert.equal(authorization, host === 'hub' ? 'Bearer hf_secret' : undefined);
    }
    assert.ok(hub.requests.some(({ host }) => host === 'storage'));
    assert.ok(!JSON.stringify(events).includes('hf_secret'));
  });

  it('says that a model wants its terms accepted', async () => {
    hub.misbehave = (request, response) => {
      if (!request.path.includes('/resolve/')) return false;
      response.statusCode = 403;
      response.setHeader('x-error-code', 'GatedRepo');
      response.end();
      return true;
    };
    await assert.rejects(
      pull(),
      refusal(/does not give out owner\/model at .*\(403\): accept the model's terms/),
    );
  });

  it('sends nothing offline, and says what is missing', async () => {
    await assert.rejects(
      pull({ offline: true }),
      refusal(
        /^hf:owner\/model at main is not complete in .*, and BANTAM_OFFLINE or HF_HUB_OFFLINE forbids/,
      ),
    );
    assert.deepEqual(hub.requests, []);
  });

  it('refuses a page that is no answer of a hub, and names that leave the cache', async () => {
    hub.misbehave = (request, response) => {
      if (!request.path.startsWith('/api/')) return false;
      response.end('<html>Please log in</html>');
      return true;
    };
    await assert.rejects(pull(), refusal(/does not answer as a Hub does; check HF_ENDPOINT/));
    hub.misbehave = (request, response) => {
      if (!request.path.startsWith('/api/')) return false;
      const siblings = [{ rfilename: '../../../evil.safetensors' }];
      response.end(JSON.stringify({ sha: commit, siblings }));
      return true;
    };
    await assert.rejects(pull(), refusal(/has no weights of a CLIP model that Bantam can tell/));
    assert.ok(!existsSync(join(root, 'evil.safetensors')));
  });

  it('fetches once when asked twice at the same time', async () => {
    const [first, second] = await Promise.all([pull(), pull()]);
    assert.equal(hub.downloads.filter(({ path }) => isWeights(path)).length, 1);
    assert.deepEqual([first.fetched.length, second.fetched.length].sort(), [0, 3]);
    assert.ok(events.some((event) => event.kind === 'wait' && event.process === process.pid));
  });

  it('says that a cache cannot be written', async () => {
    const file = join(cacheDir, 'file');
    await writeFile(file, '');
    await assert.rejects(
      pull({ cacheDir: join(file, 'hub') }),
      refusal(
        /^The cache .* cannot be written: a part of the path is a file, not a folder; set HF_HUB_CACHE/,
      ),
    );
  });
});
