import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { CaptionSummary } from '../src/captioning/index.js';
import { bantam, bantamJson, expectFailure, start } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';
import { captionsOf, serveVision, type Asked, type VisionServer } from './vision-server.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') };
const at = (path: string): string => join(cwd, path);
const read = (path: string): string => readFileSync(at(path), 'utf8');
const lines = (path: string): number => read(path).split('\n').length - 1;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let server: VisionServer;

/** `bantam data caption` of the 24 shapes with a server. */
function captioning(out: string, { url = server.url }: { url?: string } = {}): string[] {
  const flags = {
    data: 'folder:shapes',
    out,
    endpoint: url,
    'endpoint-model': 'eye',
    retries: '1',
  };
  return ['data', 'caption', ...Object.entries(flags).flatMap(([name, to]) => [`--${name}`, to])];
}

function fails(args: string[], message: RegExp, status: 1 | 2 = 1): Promise<void> {
  return expectFailure(args, { status, message, cwd, env });
}

before(async () => {
  await drawShapes(at('shapes'), { each: 2 });
  server = await serveVision(captionsOf);
  await bantamJson(captioning('whole.jsonl'), { cwd, env });
});
after(async () => {
  await server.close();
  await rm(cwd, { recursive: true });
});

describe('bantam data caption', () => {
  it('writes a header and a line for each image, with the source of each caption', () => {
    const [header, ...entries] = read('whole.jsonl')
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    assert.deepEqual(header, {
      bantam: 'captions',
      format: 1,
      data: 'folder:shapes',
      captioner: 'endpoint:eye',
      settings: {
        count: 3,
        seed: 0,
        prompt:
          'Write a caption for this image: one short sentence that says what it shows. Answer with the caption alone.',
        imageSize: 512,
        temperature: 0.8,
        max_tokens: 200,
      },
    });
    assert.equal(entries.length, 24);
    const { key, captions } = entries[0] as { key: string; captions: Record<string, string>[] };
    assert.equal(key, 'blue bar/0.png');
    assert.equal(captions.length, 3);
    assert.match(captions[0]?.text ?? '', /^image \d+, told as \d+$/);
    assert.equal(captions[0]?.source, 'endpoint:eye');
  });

  it('does nothing more where all is captioned, and says so', async () => {
    const summary = (await bantamJson(captioning('whole.jsonl'), { cwd, env })) as CaptionSummary;
    assert.deepEqual([summary.kept, summary.written, summary.images], [24, 0, 24]);
  });

  it('gives the same file after it was killed, interrupted, cut off and left alone', async () => {
    const slow = await serveVision(captionsOf, { delay: 40 });
    const args = captioning('parts.jsonl', { url: slow.url });
    for (const signal of ['SIGKILL', 'SIGINT'] as const) {
      const asked = slow.asked.length;
      const part = start(args, { cwd, env });
      while (slow.asked.length < asked + 5) await sleep(5);
      part.process.kill(signal);
      const { status, stderr } = await part.ended;
      if (signal === 'SIGKILL') {
        // As if it had ended while it wrote a line.
        truncateSync(at('parts.jsonl'), read('parts.jsonl').length - 30);
      } else {
        assert.equal(status, 1);
        assert.match(stderr, /interrupted after \d+ of 24 images, whose captions are in "parts/);
      }
    }
    assert.ok(lines('parts.jsonl') < 25, 'it ended before it was interrupted');
    appendFileSync(at('parts.jsonl'), '{"key":"green b');
    const { status, stdout, stderr } = await bantam(args, { cwd, env });
    assert.equal(status, 0, stderr);
    assert.match(stderr, /last line of "parts\.jsonl" was cut off \(15 bytes\)/);
    assert.match(
      stdout,
      /captions of \d+ images written \(\d+ images captioned before\): parts\.jsonl/,
    );
    assert.equal(read('parts.jsonl'), read('whole.jsonl'));
    await slow.close();
  });

  it('keeps what is written when the endpoint goes down, and goes on when it is back', async () => {
    const dying: VisionServer = await serveVision((asked) =>
      asked.number < 6 ? captionsOf(asked) : 'hang up',
    );
    const args = captioning('down.jsonl', { url: dying.url });
    await fails(
      args,
      /cannot be reached \(ECONNRESET\); start its server or correct the address; the captions of \d images are kept in "down\.jsonl", and the same command resumes after them\.$/,
    );
    assert.ok(lines('down.jsonl') >= 5);
    await dying.close();
    await bantamJson(captioning('down.jsonl'), { cwd, env });
    assert.equal(read('down.jsonl'), read('whole.jsonl'));
  });

  it('passes by broken images and nonsense answers, and tries them again', async () => {
    await drawShapes(at('broken'), { each: 1 });
    const image = readFileSync(at('broken/red bar/0.png'));
    truncateSync(at('broken/red bar/0.png'), 100);
    let hopeless = '';
    const moody = await serveVision((asked: Asked) => {
      const { url = '' } = asked.body.messages[0]?.content[1]?.image_url ?? {};
      hopeless ||= url;
      return url === hopeless ? ['?'] : captionsOf(asked);
    });
    const args = [
      ...captioning('moody.jsonl', { url: moody.url }),
      ...['--data', 'folder:broken', '--concurrency', '1'],
    ];
    const first = (await bantamJson(args, { cwd, env })) as CaptionSummary;
    assert.deepEqual([first.written, first.images], [10, 12]);
    assert.deepEqual(
      first.skipped.map(({ key }) => key),
      ['blue bar/0.png', 'red bar/0.png'],
    );
    assert.match(read('moody.jsonl.quarantine.jsonl'), /blue bar.*no letters: \\"\?\\""/);
    writeFileSync(at('broken/red bar/0.png'), image);
    hopeless = 'none';
    const second = (await bantamJson(args, { cwd, env })) as CaptionSummary;
    assert.deepEqual([second.kept, second.written, second.skipped], [10, 2, []]);
    await moody.close();
  });

  it('refuses settings that would mix captions, and what cannot be', async () => {
    const whole = read('whole.jsonl');
    const other = (...args: string[]): string[] => [...captioning('whole.jsonl'), ...args];
    await Promise.all([
      fails(
        other('--count', '2', '--prompt', 'What?'),
        /"whole\.jsonl" was made with count 3, prompt "Write.*", but now count 2, prompt "What\?" is asked for/,
      ),
      fails(other('--method', 'beam'), /--method belongs to --model, not to --endpoint/, 2),
      fails(other('--endpoint', 'localhost:1'), /"localhost:1" is not http/, 2),
      fails(
        [...captioning('x').slice(0, 6)],
        /needs one captioner: --model DIR .* or --endpoint URL/,
        2,
      ),
    ]);
    assert.equal(read('whole.jsonl'), whole);
  });
});

describe('synthetic captions', () => {
  it('are shown, and trained on with the stated probability', async () => {
    const data = 'folder:shapes?captions=whole.jsonl&synthetic=0.25';
    const shown = await bantam(['data', 'inspect', data], { cwd, env });
    assert.match(shown.stdout, /^synthetic +72 captions of 24 records, by endpoint:eye$/m);
    assert.match(shown.stdout, /\n {2}real: a photo of a .*\n {2}synthetic: image \d+, told as/);
    const options = ['--data', data, '--out', 'run', '--budget', '48samples'];
    const trained = await bantam(['train', ...tinyModel, ...options], { cwd, env });
    assert.equal(trained.status, 0, trained.stderr);
    assert.match(trained.stderr, /^24 of 24 records have synthetic.* with probability 0\.25\.$/m);
  });
});
