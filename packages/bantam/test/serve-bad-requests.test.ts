import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { serve } from 'bantam';
import type { Server } from 'bantam/experimental';
import { saveTinyModel } from '../dist/test-support/saved-model.js';
import { claiming, dataUri, photograph, plainPng, post, send, sendRaw } from './serve-client.js';
import { temporaryFolder } from './shapes.js';

const folder = await temporaryFolder();
const key = 'k'.repeat(32);
const limits = {
  items: 4,
  queue: 8,
  prompts: 12,
  textLength: 200,
  bodyBytes: 200_000,
  imageBytes: 60_000,
  pixels: 1_000_000,
  headerSeconds: 0.5,
  bodySeconds: 1,
};
let server: Server;
let guarded: Server;

before(async () => {
  await saveTinyModel(join(folder, 'model'));
  const models = { tiny: join(folder, 'model') };
  server = await serve({ models, port: 0, threads: 1, limits });
  const fetchHosts = ['images.example.com', '127.0.0.1', 'localhost', '[::1]', '169.254.169.254'];
  guarded = await serve({ models, port: 0, threads: 1, limits, apiKeys: [key], fetchHosts });
});
after(async () => {
  await Promise.all([server.stop(), guarded.stop()]);
  await rm(folder, { recursive: true });
});

const png = await plainPng('#c03020');
const noise = await sharp({
  create: {
    width: 120,
    height: 80,
    channels: 3,
    noise: { type: 'gaussian', mean: 128, sigma: 60 },
    background: '#000',
  },
})
  .png()
  .toBuffer();
const gif = await sharp(await plainPng('#00f', 200, 200))
  .gif()
  .toBuffer();
const svg = '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>';
const spoilt = Buffer.from(noise);
spoilt.fill(7, 1000, 1400);

const image = (value: string) => ({ input: value, modality: 'image' });
const bytes = (value: Uint8Array, type?: string) => image(dataUri(value, type));
const oneItem = 'Item 0 of "input": ';
const notUri = `${oneItem}The image is no data URI with base64: data:image/png;base64,…`;
const noKind = `${oneItem}It is no JPEG, PNG, WebP, GIF, TIFF or AVIF image.`;
const noUrls = `${oneItem}This server fetches no URLs; send the image as a data URI: data:image/png;base64,…`;
const wanted = 'it must be a string, {"text": …}, {"image": …} or a list of them.';
const undecodable = /^Item 0 of "input": The image cannot be decoded \(.+\)\.$/;

/** Bodies of `POST /v1/embeddings`, and the message of the answer, whose status is 400 unless it says so. */
const bodies: readonly (readonly [string, unknown, string | RegExp, number?])[] = [
  // Bodies
  ['an empty body', '', 'The body is empty; send JSON.'],
  ['blanks', ' \n ', 'The body is empty; send JSON.'],
  ['a broken object', '{"input":', 'The body is no JSON.'],
  ['single quotes', "{'input':'a'}", 'The body is no JSON.'],
  ['NaN', '{"input":NaN}', 'The body is no JSON.'],
  ['two documents', '{"input":"a"}{"input":"a"}', 'The body is no JSON.'],
  ['a list', '[]', 'The request must be an object of settings.'],
  ['null', 'null', 'The request must be an object of settings.'],
  ['a string', '"text"', 'The request must be an object of settings.'],
  ['no input', {}, /^The request lacks "input"/],
  ['a misspelt member', { input: 'a', modle: 'x' }, 'The request has no setting "modle" (did you mean "model"?).'], // prettier-ignore
  ['an unknown member', { input: 'a', stream: true }, /^The request has no setting "stream"/],
  ['__proto__', '{"input":"a","__proto__":{"model":"x"}}', /^The request has no setting "__proto__"/], // prettier-ignore
  ['constructor', '{"input":"a","constructor":{}}', /^The request has no setting "constructor"/],
  ['a deep list', `{"input":${'['.repeat(90_000)}${']'.repeat(90_000)}}`, 'The request is nested too deeply.'], // prettier-ignore
  ['a long wrong value', { input: 'a', modality: 'x'.repeat(100_000) }, /^"modality" of the request is "x{1,300}…$/], // prettier-ignore
  ['too many bytes', { input: 'a'.repeat(200_000) }, 'The body has more than 200000 bytes; send less at a time.', 413], // prettier-ignore
  // Inputs
  ['a number', { input: 5 }, `"input" of the request is 5; ${wanted}`],
  ['null as input', { input: null }, `"input" of the request is null; ${wanted}`],
  ['an empty list', { input: [] }, `"input" of the request is []; ${wanted}`],
  ['lists in lists', { input: [['a']] }, `"input" of the request is [["a"]]; ${wanted}`],
  ['a list with null', { input: ['a', null] }, `"input" of the request is ["a",null]; ${wanted}`],
  ['an empty text', { input: '' }, 'Item 0 of "input" is an empty text.'],
  ['a blank text', { input: ['a', ' \n'] }, 'Item 1 of "input" is an empty text.'],
  ['a long text', { input: 'a'.repeat(201) }, 'Item 0 of "input" has 201 characters; send at most 200.'], // prettier-ignore
  ['too many items', { input: Array(5).fill('a') }, '"input" has 5 items; send at most 4 at a time.'], // prettier-ignore
  ['very many items', { input: Array(60_000).fill('') }, '"input" has 60000 items; send at most 4 at a time.'], // prettier-ignore
  ['token ids', { input: [1, 2, 3] }, '"input" holds token ids, which are of another vocabulary; send the texts themselves.'], // prettier-ignore
  ['lists of token ids', { input: [[1], [2]] }, '"input" holds token ids, which are of another vocabulary; send the texts themselves.'], // prettier-ignore
  ['a text that is none', { input: { text: 5 } }, `"input" of the request is {"text":5}; ${wanted}`], // prettier-ignore
  ['text and image in one', { input: { text: 'a', image: 'b' } }, `"input" of the request is {"text":"a","image":"b"}; ${wanted}`], // prettier-ignore
  ['audio', { input: [{ audio: 'a' }] }, `"input" of the request is [{"audio":"a"}]; ${wanted}`],
  ['the modality audio', { input: 'a', modality: 'audio' }, '"modality" of the request is "audio"; it must be "text" or "image".'], // prettier-ignore
  ['another encoding', { input: 'a', encoding_format: 'int8' }, '"encoding_format" of the request is "int8"; it must be "float" or "base64".'], // prettier-ignore
  ['fewer dimensions', { input: 'a', dimensions: 7 }, 'The model "tiny" gives embeddings of 16 dimensions, not of 7; leave "dimensions" out.'], // prettier-ignore
  ['half a dimension', { input: 'a', dimensions: 1.5 }, '"dimensions" of the request is 1.5; it must be a whole number of at least 1.'], // prettier-ignore
  ['an unknown model', { input: 'a', model: 'tinny' }, 'There is no model "tinny"; there is tiny.', 404], // prettier-ignore
  ['a path as model', { input: 'a', model: '../../etc/passwd' }, 'There is no model "../../etc/passwd"; there is tiny.', 404], // prettier-ignore
  ['a member of objects as model', { input: 'a', model: 'constructor' }, 'There is no model "constructor"; there is tiny.', 404], // prettier-ignore
  ['a number as model', { input: 'a', model: 5 }, '"model" of the request is 5; it must be a string.'], // prettier-ignore
  ['another on_error', { input: 'a', on_error: 'ignore' }, '"on_error" of the request is "ignore"; it must be "fail" or "skip".'], // prettier-ignore
  // Images
  ['a text as image', image('a red square'), notUri],
  ['a path as image', image('/etc/passwd'), notUri],
  ['a path upwards as image', image('../../../etc/passwd'), notUri],
  ['bare base64', image(png.toString('base64')), notUri],
  ['a data URI without base64', image('data:image/png,abc'), notUri],
  ['a data URI of HTML', bytes(png, 'text/html'), `${oneItem}The data URI is of the type "text/html"; send an image, such as data:image/png;base64,…`], // prettier-ignore
  ['broken base64', image('data:image/png;base64,***'), `${oneItem}The data URI holds no valid base64.`], // prettier-ignore
  ['no bytes', image('data:image/png;base64,'), `${oneItem}The data URI holds no valid base64.`],
  ['a large file', bytes(Buffer.alloc(61_000)), `${oneItem}The image has more than 60000 bytes; shrink it.`], // prettier-ignore
  ['an SVG', bytes(Buffer.from(svg), 'image/svg+xml'), noKind],
  ['an SVG that says it is a PNG', bytes(Buffer.from(svg)), noKind],
  ['a PDF', bytes(Buffer.from('%PDF-1.7\n')), noKind],
  ['an archive', bytes(Buffer.from('PK\x03\x04')), noKind],
  ['one byte', bytes(Buffer.from([0])), noKind],
  ['the start of a PNG', bytes(png.subarray(0, 8)), undecodable],
  ['a truncated PNG', bytes(noise.subarray(0, 10_000)), undecodable],
  ['a spoilt PNG', bytes(spoilt), undecodable],
  ['a truncated JPEG', bytes(photograph().subarray(0, 15_000)), undecodable],
  ['a JPEG of two bytes', bytes(Buffer.from([0xff, 0xd8, 0xff])), undecodable],
  ['a truncated GIF', bytes(gif.subarray(0, 60)), undecodable],
  ['a truncated WebP', bytes(Buffer.from('RIFF\x20\0\0\0WEBPVP8 ', 'latin1')), undecodable],
  ['a broken TIFF', bytes(Buffer.from('II*\0\xff\xff\xff\xff', 'latin1')), undecodable],
  ['a broken AVIF', bytes(Buffer.from('\0\0\0\x1cftypavif', 'latin1')), undecodable],
  ['a PNG that claims 2³² pixels', bytes(claiming(png, 65_536, 65_535)), `${oneItem}The image has 65536 × 65535 pixels; at most 1000000 are decoded.`], // prettier-ignore
  ['a thin PNG that claims 10⁷ rows', bytes(claiming(png, 1, 10_000_000)), `${oneItem}The image has 1 × 10000000 pixels; at most 1000000 are decoded.`], // prettier-ignore
  // URLs
  ...[
    'http://127.0.0.1/a.png',
    'http://localhost:22/',
    'http://[::1]/',
    'http://169.254.169.254/latest/meta-data/',
    'https://example.com/a.png',
    'HTTPS://example.com/a.png',
    'file:///etc/passwd',
    'ftp://example.com/a.png',
    'gopher://127.0.0.1:6379/_FLUSHALL',
    'javascript:alert(1)',
    'blob:http://localhost/1',
  ].map((url) => [url, image(url), noUrls] as const),
  // Classification is below.
];

describe('POST /v1/embeddings', () => {
  for (const [what, body, message, status = 400] of bodies) {
    it(`refuses ${what} with ${status}`, async () => {
      const found = await post(`${server.url}/v1/embeddings`, body);
      checkError(found, status, message);
    });
  }

  for (const [what, type] of [
    ['a form', 'application/x-www-form-urlencoded'],
    ['plain text', 'text/plain'],
    ['a file', 'multipart/form-data; boundary=x'],
    ['a look-alike', 'application/json-patch+json'],
    ['no type', ''],
  ] as const) {
    it(`refuses ${what} with 415`, async () => {
      const headers = { 'content-type': type };
      const found = await post(`${server.url}/v1/embeddings`, { input: 'a' }, headers);
      checkError(found, 415, 'The body must be of the type application/json.');
    });
  }

  it('refuses other codings with 415', async () => {
    const headers = { 'content-encoding': 'gzip' };
    const found = await post(`${server.url}/v1/embeddings`, { input: 'a' }, headers);
    checkError(found, 415, 'Send the body without Content-Encoding.');
  });

  it('refuses bytes that are no UTF-8', async () => {
    for (const body of [
      Buffer.from('{"input":"caf\xe9"}', 'latin1'),
      Buffer.from('\ufeff{"input":"a"}', 'utf16le'),
    ]) {
      // prettier-ignore
      const headers = { 'content-type': 'application/json' };
      const init = { method: 'POST', headers, body: new Uint8Array(body) };
      checkError(await send(`${server.url}/v1/embeddings`, init), 400, /^The body is no (UTF-8|JSON)\.$/); // prettier-ignore
    }
  });

  it('refuses a chunked body once it is too long, with 413', async () => {
    const chunk = `4000\r\n${' '.repeat(0x4000)}\r\n`;
    const head = 'POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'; // prettier-ignore
    const found = await sendRaw(server.url, [head + chunk.repeat(20)]);
    assert.match(found, /^HTTP\/1\.1 413 /);
    assert.match(found, /The body has more than 200000 bytes; send less at a time\./);
  });
});

const photo = { input: dataUri(png) };
const classifications: readonly (readonly [string, unknown, string | RegExp])[] = [
  ['no labels', photo, /^The request lacks "labels"/],
  ['an empty list of labels', { ...photo, labels: [] }, '"labels" is empty; name the classes.'],
  ['an empty label', { ...photo, labels: ['a', ''] }, 'Item 1 of "labels" is an empty text.'],
  ['a label twice', { ...photo, labels: ['a', 'b', 'a'], templates: 'plain' }, '"labels" holds "a" twice.'], // prettier-ignore
  ['a number as label', { ...photo, labels: [1] }, 'Item 1 of "labels" of the request is 1; it must be a string.'], // prettier-ignore
  ['very many labels', { ...photo, labels: Array(9000).fill('a') }, '"labels" has 9000 items; send at most 12 at a time.'], // prettier-ignore
  ['too many prompts', { ...photo, labels: ['a', 'b', 'c', 'd'] }, '4 labels times 4 templates are more than 12 prompts; send fewer of them.'], // prettier-ignore
  ['unknown templates', { ...photo, labels: ['a'], templates: 'imagnet' }, /^There are no prompt templates "imagnet" \(did you mean "imagenet"\?\); choose from .*imagenet-simple/], // prettier-ignore
  ['a template without {}', { ...photo, labels: ['a'], templates: ['a photo'] }, 'The prompt template "a photo" has no {}; mark the class name with it.'], // prettier-ignore
  ['top_k of 0', { ...photo, labels: ['a'], top_k: 0 }, '"top_k" of the request is 0; it must be a whole number of at least 1.'], // prettier-ignore
  ['a text as image', { input: 'a', labels: ['a'] }, notUri],
];

describe('POST /v1/classify', () => {
  for (const [what, body, message] of classifications) {
    it(`refuses ${what} with 400`, async () => {
      checkError(await post(`${server.url}/v1/classify`, body), 400, message);
    });
  }
});

describe('paths and methods', () => {
  const cases: readonly (readonly [string, string, number, string])[] = [
    ['GET', '/v1/embeddings', 405, 'This path takes POST.'],
    ['PUT', '/v1/embeddings', 405, 'This path takes POST.'],
    ['DELETE', '/v1/models', 405, 'This path takes GET.'],
    ['POST', '/healthz', 405, 'This path takes GET.'],
    ['OPTIONS', '/v1/embeddings', 405, 'This path takes POST.'],
    ['GET', '/', 404, 'There is no such path; see /openapi.json.'],
    ['GET', '/V1/models', 404, 'There is no such path; see /openapi.json.'],
    ['GET', '/v1/models/', 404, 'There is no such path; see /openapi.json.'],
    ['GET', '/v1/models/tiny', 404, 'There is no such path; see /openapi.json.'],
    ['GET', '//healthz', 404, 'There is no such path; see /openapi.json.'],
    ['GET', '/%2e%2e/%2e%2e/etc/passwd', 404, 'There is no such path; see /openapi.json.'],
    ['GET', '/v1/..%2f..%2fetc/passwd', 404, 'There is no such path; see /openapi.json.'],
    ['GET', '/%zz', 404, 'There is no such path; see /openapi.json.'],
    ['GET', '/admin', 404, 'There is no such path; see /openapi.json.'],
  ];
  for (const [method, path, status, message] of cases) {
    it(`answers ${method} ${path} with ${status}`, async () => {
      const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
      checkRaw(await sendRaw(server.url, [head]), status, message);
    });
  }

  it('says which methods a path takes, and shows no other origin anything', async () => {
    const headers = { origin: 'https://evil.com', 'access-control-request-method': 'POST' };
    const found = await send(`${server.url}/v1/embeddings`, { method: 'OPTIONS', headers });
    assert.equal(found.headers.get('allow'), 'POST');
    assert.equal(found.headers.get('access-control-allow-origin'), null);
  });
});

describe('what is no proper HTTP', () => {
  const invalid = 'This is no valid HTTP request.';
  const post1 =
    'POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
  const cases: readonly (readonly [string, string | Buffer, number, string])[] = [
    ['noise', Buffer.from([1, 2, 3, 13, 10, 13, 10]), 400, invalid],
    ['TLS', Buffer.from('1603010200010001fc0303', 'hex'), 400, invalid],
    ["HTTP/2's preface", 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, invalid],
    ['headers of 20 kB', `GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`, 431, 'The headers are too large.'], // prettier-ignore
    ['a path of 20 kB', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 431, 'The headers are too large.'], // prettier-ignore
    ['two lengths', `${post1}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`, 400, invalid],
    ['length and chunks', `${post1}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, invalid], // prettier-ignore
    ['a negative length', `${post1}Content-Length: -1\r\n\r\n`, 400, invalid],
    ['a broken chunk', `${post1}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 400, invalid],
    ['a broken header', 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nA\x01B: c\r\n\r\n', 400, invalid], // prettier-ignore
    ['a folded header', 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n', 400, invalid], // prettier-ignore
    ['slow headers', 'GET /healthz HTTP/1.1\r\nHost: local', 408, 'The request came too slowly.'],
    ['a body that never ends', `${post1}Content-Length: 100\r\n\r\n{`, 408, 'The request came too slowly.'], // prettier-ignore
    ['a name of another server', 'GET /healthz HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n', 421, 'This server is not called "evil.com"; without an API key it answers to localhost alone, or to the names in --allow-host.'], // prettier-ignore
    ['a URL in place of a path', 'GET http://evil.com/healthz HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n', 421, 'This server is not called "evil.com"; without an API key it answers to localhost alone, or to the names in --allow-host.'], // prettier-ignore
  ];
  for (const [what, bytes, status, message] of cases) {
    it(`answers ${what} with ${status}`, async () => {
      checkRaw(await sendRaw(server.url, [bytes]), status, message);
    });
  }

  it('needs a Host header', async () => {
    const found = await sendRaw(server.url, ['GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n']);
    assert.match(found, /^HTTP\/1\.1 400 /);
  });

  it('ends a body that comes a byte at a time', async () => {
    const body = JSON.stringify({ input: 'a'.repeat(100) });
    const head = `${post1}Content-Length: ${body.length}\r\n\r\n`;
    const found = await sendRaw(server.url, [head, ...body.split('')], 100);
    checkRaw(found, 408, 'The request came too slowly.');
  });

  it('takes no method from a header, and no second request from a body', async () => {
    const inner = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n';
    const head = `${post1}X-HTTP-Method-Override: GET\r\nConnection: close\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`; // prettier-ignore
    const found = await sendRaw(server.url, [head]);
    assert.match(found, /^HTTP\/1\.1 400 [^]*The body is no JSON\./);
    assert.equal(found.match(/HTTP\/1\.1/g)?.length, 1);
  });
});

describe('a server with API keys', () => {
  const cases: readonly (readonly [string, Record<string, string>, string])[] = [
    ['no key', {}, 'An API key is missing; send the header "Authorization: Bearer KEY".'],
    ['an empty key', { authorization: 'Bearer ' }, 'An API key is missing; send the header "Authorization: Bearer KEY".'], // prettier-ignore
    ['a wrong key', { authorization: 'Bearer x' }, 'The API key is wrong.'],
    ['the start of the key', { authorization: `Bearer ${key.slice(1)}` }, 'The API key is wrong.'],
    ['more than the key', { authorization: `Bearer ${key}k` }, 'The API key is wrong.'],
    ['the key as a password', { authorization: `Basic ${btoa(`a:${key}`)}` }, 'An API key is missing; send the header "Authorization: Bearer KEY".'], // prettier-ignore
    ['the key in another header', { 'x-api-key': key }, 'An API key is missing; send the header "Authorization: Bearer KEY".'], // prettier-ignore
  ];
  for (const [what, headers, message] of cases) {
    it(`refuses ${what} with 401`, async () => {
      for (const path of ['/v1/models', '/metrics', '/openapi.json', '/nowhere']) {
        const found = await send(`${guarded.url}${path}`, { headers });
        checkError(found, 401, message);
        assert.equal(found.headers.get('www-authenticate'), 'Bearer');
      }
    });
  }

  it('refuses a key in the query with 401', async () => {
    const found = await send(`${guarded.url}/v1/models?api_key=${key}`);
    checkError(found, 401, /missing/);
  });

  it('answers with the key, and health without', async () => {
    const headers = { authorization: `Bearer ${key}` };
    assert.equal((await send(`${guarded.url}/v1/models`, { headers })).status, 200);
    assert.equal((await send(`${guarded.url}/healthz`)).status, 200);
  });

  const urls: readonly (readonly [string, string])[] = [
    ['http://127.0.0.1/', 'The host "127.0.0.1" leads to a private address.'],
    ['http://2130706433/', 'The host "127.0.0.1" leads to a private address.'],
    ['http://0x7f000001/', 'The host "127.0.0.1" leads to a private address.'],
    ['http://0177.0.0.1/', 'The host "127.0.0.1" leads to a private address.'],
    ['http://localhost/', 'The host "localhost" leads to a private address.'],
    ['http://[::1]/', 'The host "[::1]" leads to a private address.'],
    ['http://169.254.169.254/latest/', 'The host "169.254.169.254" leads to a private address.'],
    ['http://[::ffff:127.0.0.1]/', 'Images are not fetched from the host "[::ffff:7f00:1]".'],
    ['http://evil.com/', 'Images are not fetched from the host "evil.com".'],
    ['http://images.example.com@evil.com/', 'The URL of an image must hold no user name and password.'], // prettier-ignore
    ['http://images.example.com:22/', 'Images are not fetched from the host "images.example.com:22".'], // prettier-ignore
    ['file:///etc/passwd', 'The URL of an image must start with https:// or http://.'],
    ['http://evil.com#images.example.com', 'Images are not fetched from the host "evil.com".'],
    ['http://evil.com\\@images.example.com/', 'Images are not fetched from the host "evil.com".'],
  ];
  for (const [url, message] of urls) {
    it(`does not fetch ${url}, though hosts are allowed`, async () => {
      const headers = { authorization: `Bearer ${key}` };
      const found = await post(`${guarded.url}/v1/embeddings`, image(url), headers);
      checkError(found, 400, `${oneItem}${message}`);
    });
  }
});

describe('after all that', () => {
  it('the servers embed as before, thin images and odd texts as well', async () => {
    const thin = dataUri(await plainPng('#123456', 1, 20_000));
    const odd = ['a\0b', '\ud800', '\u202eevil', '🐈'.repeat(40)];
    const texts = await post(`${server.url}/v1/embeddings`, { input: odd });
    assert.equal(texts.status, 200);
    const images = await post(`${server.url}/v1/embeddings`, image(thin));
    assert.equal(images.status, 200);
    for (const { url } of [server, guarded]) {
      const { body } = await send(`${url}/healthz`);
      assert.equal((body as { status: string }).status, 'ok');
    }
  });

  it('/openapi.json describes every path and every member of a request', async () => {
    const { body } = await send(`${server.url}/openapi.json`);
    const { openapi, paths } = body as {
      openapi: string;
      paths: Record<string, { post?: { requestBody: { content: Record<string, { schema: { properties: object } }> } } }>; // prettier-ignore
    };
    assert.equal(openapi, '3.1.0');
    assert.deepEqual(Object.keys(paths), [
      '/v1/embeddings',
      '/v1/classify',
      '/v1/search',
      '/v1/models',
      '/healthz',
      '/metrics',
      '/openapi.json',
    ]);
    const members = paths['/v1/embeddings']?.post?.requestBody.content['application/json']?.schema;
    assert.deepEqual(Object.keys(members?.properties ?? {}), [
      'input',
      'model',
      'modality',
      'encoding_format',
      'dimensions',
      'on_error',
      'user',
    ]);
  });

  it('one bad image is left out where that is asked for', async () => {
    const input = [dataUri(png), dataUri(spoilt), dataUri(noise)];
    const { body } = await post(`${server.url}/v1/embeddings`, { input, modality: 'image', on_error: 'skip' }); // prettier-ignore
    const { data, errors } = body as {
      data: { index: number }[];
      errors: { index: number; message: string }[];
    };
    assert.deepEqual(data.map(({ index }) => index), [0, 2]); // prettier-ignore
    assert.deepEqual(errors.map(({ index }) => index), [1]); // prettier-ignore
  });
});

function checkError(
  found: Awaited<ReturnType<typeof send>>,
  status: number,
  message: string | RegExp,
): void {
  // prettier-ignore
  const { error } = found.body as { error: Record<string, unknown> };
  assert.equal(found.status, status, JSON.stringify(error));
  assert.deepEqual(Object.keys(error), ['message', 'type', 'param', 'code']);
  if (typeof message === 'string') assert.equal(error.message, message);
  else assert.match(String(error.message), message);
}

function checkRaw(found: string, status: number, message: string): void {
  const [head = '', text = ''] = found.split('\r\n\r\n');
  assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `), found);
  const { error } = JSON.parse(Buffer.from(text, 'latin1').toString()) as {
    error: { message: string };
  };
  assert.equal(error.message, message);
}
