import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import sharp from 'sharp';
import {
  BantamError,
  decodeImage,
  EndpointCaptioner,
  UsageError,
  type CaptionOutcome,
  type CaptionImage,
  type EndpointCaptionerOptions,
} from 'bantam/experimental';
import { captionsOf, serveVision, type Asked, type Reply } from './vision-server.js';

const files = await Promise.all(
  Array.from({ length: 20 }, (_, i) =>
    sharp({ create: { width: 40, height: 20, channels: 3, background: { r: i, g: 0, b: 0 } } })
      .png()
      .toBuffer(),
  ),
);
const [file = Buffer.of()] = files;

async function* images(count: number): AsyncGenerator<CaptionImage> {
  for (const [index, file] of files.slice(0, count).entries()) {
    yield { index, key: `${index}.png`, pixels: await decodeImage(file), file };
  }
}

/** Captions `count` images with a server that answers as told. */
async function run(
  answer: (asked: Asked) => Reply,
  {
    images: number = 1,
    count = 3,
    path = '',
    signal,
    ...options
  }: Partial<EndpointCaptionerOptions> & {
    images?: number;
    count?: number;
    path?: string;
    signal?: AbortSignal;
  } = {},
): Promise<{ outcomes: CaptionOutcome[]; asked: readonly Asked[]; error?: unknown }> {
  const server = await serveVision(answer);
  const outcomes: CaptionOutcome[] = [];
  try {
    const url = `${server.url}${path}`;
    const captioner = new EndpointCaptioner({ model: 'eye', retries: 1, ...options, url });
    const request = { count, seed: 7, ...(signal && { signal }) };
    for await (const outcome of captioner.caption(images(number), request)) {
      outcomes.push(outcome);
    }
    return { outcomes, asked: server.asked };
  } catch (error) {
    return { outcomes, asked: server.asked, error };
  } finally {
    await server.close();
  }
}

function message({ error }: { error?: unknown }): string {
  assert.ok(error instanceof BantamError, String(error));
  return error.message;
}

describe('EndpointCaptioner', () => {
  it('asks for all captions of an image at once, with its settings', async () => {
    const { outcomes, asked } = await run(captionsOf, {
      key: 'secret',
      prompt: 'What?',
      temperature: 0.5,
      topP: 0.9,
      maxTokens: 30,
    });
    const [request, ...others] = asked;
    assert.ok(request !== undefined && others.length === 0);
    assert.equal(request.path, '/v1/chat/completions');
    assert.equal(request.headers.authorization, 'Bearer secret');
    const { messages, seed, ...body } = request.body;
    assert.deepEqual(body, {
      model: 'eye',
      n: 3,
      temperature: 0.5,
      top_p: 0.9,
      max_tokens: 30,
      stream: false,
    });
    assert.ok(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31);
    assert.deepEqual(messages, [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What?' },
          {
            type: 'image_url',
            image_url: { url: `data:image/png;base64,${file.toString('base64')}` },
          },
        ],
      },
    ]);
    assert.deepEqual(outcomes, [{ key: '0.png', captions: captionsOf(request) }]);
  });

  it('accepts an address with a version or the whole path', async () => {
    for (const path of ['/', '/v1', '/v1/', '/v1/chat/completions']) {
      const { asked } = await run(captionsOf, { path });
      assert.equal(asked[0]?.path, '/v1/chat/completions', path);
    }
    const { asked } = await run(captionsOf, { path: '/openai' });
    assert.equal(asked[0]?.path, '/openai/v1/chat/completions');
  });

  it('asks again where a server gives one choice or repeats itself, a bounded number of times', async () => {
    const one = await run((asked) => captionsOf(asked).slice(0, 1));
    assert.deepEqual(
      one.asked.map(({ body }) => body.n),
      [3, 2, undefined],
    );
    assert.equal(new Set(one.asked.map(({ body }) => body.seed)).size, 3);
    const same = await run(() => ['A dog.', 'a dog']);
    assert.deepEqual(same.outcomes, [{ key: '0.png', captions: ['A dog.'] }]);
    assert.equal(same.asked.length, 4);
  });

  it('does without several choices where they are refused', async () => {
    const refusal = { status: 400, body: '{"error":{"message":"only n = 1"}}' };
    const { outcomes, asked } = await run(
      (asked) => (asked.body.n === undefined ? captionsOf(asked) : refusal),
      { images: 2, concurrency: 1 },
    );
    assert.deepEqual(
      outcomes.map((outcome) => 'captions' in outcome && outcome.captions.length),
      [3, 3],
    );
    assert.equal(asked.filter(({ body }) => body.n !== undefined).length, 1);
  });

  it('gives the captions of an image whatever came before it and how many are asked about', async () => {
    const alone = await run(captionsOf, { images: 5, concurrency: 1 });
    const many = await run(captionsOf, { images: 5, concurrency: 4 });
    assert.deepEqual(many.outcomes, alone.outcomes);
    assert.equal(new Set(alone.asked.map(({ body }) => body.seed)).size, 5);
  });

  it('sends files as JPEG where they are large, not upright, transparent or of another kind', async () => {
    const make = sharp({ create: { width: 40, height: 20, channels: 3, background: '#d22' } });
    const kinds = {
      large: file,
      turned: await make.clone().jpeg().withMetadata({ orientation: 6 }).toBuffer(),
      clear: await make.clone().ensureAlpha(0.5).png().toBuffer(),
      webp: await make.clone().webp().toBuffer(),
    };
    const sizes = { large: [32, 16], turned: [20, 40], clear: [40, 20], webp: [40, 20] };
    const server = await serveVision(captionsOf);
    for (const name of ['large', 'turned', 'clear', 'webp'] as const) {
      const imageSize = name === 'large' ? 32 : 40;
      const captioner = new EndpointCaptioner({ url: server.url, model: 'eye', imageSize });
      const bytes = kinds[name];
      const image = { index: 0, key: name, file: bytes, pixels: await decodeImage(bytes) };
      const one = (async function* () {
        yield await Promise.resolve(image);
      })();
      for await (const outcome of captioner.caption(one, { count: 1, seed: 0 })) {
        assert.ok('captions' in outcome);
      }
      const url = server.asked.at(-1)?.body.messages[0]?.content[1]?.image_url?.url ?? '';
      assert.match(url, /^data:image\/jpeg;base64,/);
      const sent = await sharp(Buffer.from(url.split(',')[1] ?? '', 'base64')).metadata();
      assert.deepEqual([sent.width, sent.height], sizes[name], name);
    }
    await server.close();
  });

  it('passes by an image with a nonsense answer, and takes the next', async () => {
    const isFirst = ({ body }: Asked): boolean =>
      body.messages[0]?.content[1]?.image_url?.url.endsWith(file.toString('base64')) === true;
    const replies: [Reply, RegExp][] = [
      [{ body: '<html>' }, /the answer is not JSON: "<html>"/],
      [{ body: '{"choices":[]}' }, /the answer has no choices: "{"choices":\[\]}"/],
      [{ body: '[1]' }, /no choices/],
      [{ body: '{"choices":[{"message":{"content":null}}]}' }, /the answer is empty/],
      [
        { body: '{"choices":[{"message":{"content":""},"finish_reason":"length"}]}' },
        /the answer is empty, cut at the most tokens/,
      ],
      [[''], /the answer is empty/],
      [['la '.repeat(500)], /the answer has 1499 characters/],
      [['I cannot see it.'], /the answer refuses/],
      [{ body: 'x'.repeat(5 * 2 ** 20) }, /the answer has no end/],
      [{ status: 500, body: '{"error":"no projector"}' }, /HTTP 500, "no projector"/],
      [{ status: 413, body: '' }, /HTTP 413, without a message/],
    ];
    for (const [reply, reason] of replies) {
      const { outcomes, error } = await run(
        (asked) => (isFirst(asked) ? reply : captionsOf(asked)),
        { images: 2, count: 1, retries: 0 },
      );
      assert.equal(error, undefined);
      const [first, second] = outcomes;
      assert.ok(first !== undefined && 'reason' in first);
      assert.match(first.reason, reason);
      assert.ok(second !== undefined && 'captions' in second);
    }
  });

  it('takes up with servers that are busy, fail at times or hang up', async () => {
    const passing: Reply[] = [
      {
        status: 503,
        body: '{"error":{"message":"Loading model"}}',
        headers: { 'retry-after': '0' },
      },
      { status: 429, body: '', headers: { 'retry-after': '0' } },
    ];
    for (const reply of passing) {
      const { outcomes, asked } = await run((one) => (one.number === 0 ? reply : captionsOf(one)));
      assert.equal(asked.length, 2);
      assert.ok(outcomes[0] !== undefined && 'captions' in outcomes[0]);
    }
    const cut = await run((one) => (one.number === 1 ? 'hang up' : captionsOf(one)), {
      images: 2,
      concurrency: 1,
    });
    assert.deepEqual([cut.outcomes.length, cut.asked.length], [2, 3]);
  });

  it('stops with one sentence where going on is no use, after the images that were done', async () => {
    const after = (reply: Reply) => (asked: Asked) =>
      asked.number < 2 ? captionsOf(asked) : reply;
    const cases: [Reply, RegExp][] = [
      ['hang up', /endpoint http:\/\/127\.0\.0\.1:\d+ cannot be reached \(ECONNRESET\); start/],
      [{ status: 401, body: '' }, /wants a key \(HTTP 401, without a message\); set BANTAM_END/],
      [
        { status: 404, body: '{"error":{"message":"model \\"eye\\" not found"}}' },
        /has no model "eye" or no \/v1\/chat\/completions \(HTTP 404, "model "eye" not found"\)/,
      ],
      [
        { status: 429, body: 'slow down', headers: { 'retry-after': '0' } },
        /is too busy \(HTTP 429, "slow down"\)/,
      ],
      [
        { status: 301, body: '', headers: { location: 'http://x/' } },
        /redirects to http:\/\/x\/ \(HTTP 301\); give that address/,
      ],
      [
        ['...'],
        /endpoint:eye gave no usable caption for 5 images in a row \(the last: the answer has no letters: "\.\.\."\); try/,
      ],
      ['silence', /endpoint:eye gave no answer within 0\.2 s for 2 images in a row; allow more/],
    ];
    await Promise.all(
      cases.map(async ([reply, expected]) => {
        const options = { images: 20, concurrency: 1, timeout: 0.2 };
        const ended = await run(after(reply), options);
        assert.match(message(ended), expected);
        const done = ended.outcomes.filter((outcome) => 'captions' in outcome);
        assert.deepEqual(
          done.map(({ key }) => key),
          ['0.png', '1.png'],
        );
      }),
    );
    const refused = await run(() => ({ status: 403, body: '' }), { key: 'wrong' });
    assert.match(message(refused), /refuses the key \(HTTP 403/);
  });

  it('stops at once where no server ever was', async () => {
    const server = await serveVision(captionsOf);
    await server.close();
    const captioner = new EndpointCaptioner({ url: server.url, model: 'eye' });
    const began = Date.now();
    await assert.rejects(
      () => captioner.caption(images(3), { count: 1, seed: 0 }).next(),
      /cannot be reached \(ECONNREFUSED\)/,
    );
    assert.ok(Date.now() - began < 900);
  });

  it('ends quietly when it is asked to', async () => {
    const controller = new AbortController();
    const { outcomes, error } = await run(
      (asked) => {
        if (asked.number < 2) return captionsOf(asked);
        controller.abort();
        return 'silence';
      },
      { images: 9, signal: controller.signal, concurrency: 1 },
    );
    assert.deepEqual([outcomes.length, error], [2, undefined]);
  });

  it('refuses addresses that are none', () => {
    for (const url of ['localhost:8080', '8080', 'ftp://localhost', 'http://me:you@localhost']) {
      assert.throws(() => new EndpointCaptioner({ url, model: 'eye' }), UsageError, url);
    }
    assert.throws(() => new EndpointCaptioner({ url: 'http://x', model: ' ' }), UsageError);
  });
});
