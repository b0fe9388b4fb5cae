import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { allowedUrl, fetchImage, isPublicAddress, type FetchImageOptions } from './fetch-image.js';

const hosts = ['images.example.com', '*.cdn.example.com'];

describe('allowedUrl', () => {
  it('takes URLs of the hosts in the list', () => {
    for (const url of [
      'https://images.example.com/a.png',
      'http://IMAGES.example.com./a.png?b=c#d',
      'https://a.cdn.example.com/x',
      'https://a.b.cdn.example.com/x',
      'https://images.example.com:443/a.png',
    ]) {
      assert.equal(allowedUrl(url, hosts).pathname.length > 1, true);
    }
  });

  const refused: readonly (readonly [string, RegExp])[] = [
    ['https://example.com/a.png', /not fetched from the host "example.com"/],
    ['https://cdn.example.com/a.png', /not fetched from the host "cdn.example.com"/],
    ['https://evilcdn.example.com.evil.com/', /not fetched from the host/],
    ['https://images.example.com.evil.com/', /not fetched from the host/],
    ['https://images.example.com@evil.com/', /no user name/],
    ['https://user:secret@images.example.com/', /no user name/],
    ['https://images.example.com:8080/', /not fetched from the host "images.example.com:8080"/],
    ['ftp://images.example.com/', /must start with https/],
    ['file:///etc/passwd', /must start with https/],
    ['gopher://images.example.com:70/_', /must start with https/],
    ['https://', /must start with https/],
    ['http://127.0.0.1/', /not fetched from the host "127.0.0.1"/],
    ['http://2130706433/', /not fetched from the host "127.0.0.1"/],
    ['http://0x7f.1/', /not fetched from the host "127.0.0.1"/],
    ['http://[::1]/', /not fetched from the host/],
    ['http://[::ffff:127.0.0.1]/', /not fetched from the host/],
    ['http://169.254.169.254/latest/meta-data/', /not fetched from the host/],
    ['http://localhost/', /not fetched from the host "localhost"/],
  ];
  for (const [url, message] of refused) {
    it(`refuses ${url}`, () => {
      assert.throws(() => allowedUrl(url, hosts), { name: 'RequestError', status: 400, message });
    });
  }

  it('refuses every URL where no host is allowed', () => {
    assert.throws(() => allowedUrl('https://images.example.com/a.png', []), /fetches no URLs/);
  });
});

describe('isPublicAddress', () => {
  it('holds for addresses of the internet alone', () => {
    for (const address of ['93.184.216.34', '2606:2800:220:1::1']) {
      assert.equal(isPublicAddress(address), true, address);
    }
    for (const address of [
      ...['127.0.0.1', '127.1.2.3', '10.0.0.1', '172.16.0.1', '192.168.1.1', '169.254.169.254'],
      ...['0.0.0.0', '100.64.0.1', '192.0.2.1', '198.18.0.1', '224.0.0.1', '255.255.255.255'],
      ...['::', '::1', '::ffff:10.0.0.1', '::ffff:7f00:1', '::127.0.0.1', 'fe80::1', 'fc00::1'],
      ...['fd12::1', '64:ff9b::7f00:1', '2002:7f00:1::', '2001:db8::1', 'ff02::1', 'nothing'],
    ]) {
      assert.equal(isPublicAddress(address), false, address);
    }
  });
});

/** Runs with a web server on loopback, to which every name leads. */
async function withServer(
  listener: RequestListener,
  run: (options: FetchImageOptions & { asked: string[]; url: string }) => Promise<void>,
): Promise<void> {
  const asked: string[] = [];
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    await run({
      url: `http://images.example.com:${port}/a.png`,
      hosts: [`images.example.com:${port}`, `*.example.net:${port}`],
      imageBytes: 1000,
      seconds: 1,
      asked,
      resolve: (name) => {
        asked.push(name);
        return Promise.resolve([{ address: '127.0.0.1', family: 4 }]);
      },
      permits: () => true,
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('fetchImage', () => {
  it('gives the bytes of an image', async () => {
    const seen: unknown[] = [];
    await withServer(
      ({ url: path, headers }, response) => {
        seen.push(path, headers.host?.split(':')[0], headers.cookie, headers.authorization);
        response.end(Buffer.from([1, 2, 3]));
      },
      async (options) => {
        assert.deepEqual(await fetchImage(options.url, options), Uint8Array.of(1, 2, 3));
      },
    );
    assert.deepEqual(seen, ['/a.png', 'images.example.com', undefined, undefined]);
  });

  it('follows redirects to allowed hosts, and checks each anew', async () => {
    await withServer(
      ({ headers }, response) => {
        const [name, port] = (headers.host ?? '').split(':');
        if (name === 'a.example.net') response.end('done');
        else response.writeHead(302, { location: `http://a.example.net:${port}/b` }).end();
      },
      async (options) => {
        assert.equal(Buffer.from(await fetchImage(options.url, options)).toString(), 'done');
        assert.deepEqual(options.asked, ['images.example.com', 'a.example.net']);
      },
    );
  });

  for (const [location, message] of [
    ['http://127.0.0.1/secret', /not fetched from the host "127.0.0.1"/],
    ['http://evil.com/', /not fetched from the host "evil.com"/],
    ['file:///etc/passwd', /must start with https/],
    ['//localhost/', /not fetched from the host "localhost"/],
    ['/again', /redirects more than 3 times/],
  ] as const) {
    it(`refuses a redirect to ${location}`, async () => {
      await withServer(
        (_, response) => response.writeHead(302, { location }).end(),
        async (options) => {
          await assert.rejects(fetchImage(options.url, options), { name: 'RequestError', message });
        },
      );
    });
  }

  it('refuses a redirect whose name leads to a private address', async () => {
    await withServer(
      ({ headers }, response) => {
        const [, port] = (headers.host ?? '').split(':');
        response.writeHead(301, { location: `http://in.example.net:${port}/` }).end();
      },
      async (options) => {
        const resolve = (name: string) =>
          Promise.resolve([
            { address: name.startsWith('in.') ? '10.0.0.1' : '127.0.0.1', family: 4 },
          ]);
        const permits = (address: string) => address === '127.0.0.1';
        await assert.rejects(fetchImage(options.url, { ...options, resolve, permits }), {
          message: /"in.example.net" leads to a private address/,
        });
      },
    );
  });

  it('refuses a name that leads to this machine, also beside a public address', async () => {
    for (const addresses of [['127.0.0.1'], ['93.184.216.34', '127.0.0.1'], ['::1'], []]) {
      const resolve = () => Promise.resolve(addresses.map((address) => ({ address, family: 4 })));
      const options = { hosts, imageBytes: 1000, seconds: 1, resolve };
      const url = 'http://images.example.com/a.png';
      await assert.rejects(fetchImage(url, options), { message: /leads to a private address/ });
    }
  });

  it('refuses what is too large, too slow, and no success', async () => {
    const cases: readonly (readonly [RequestListener, RegExp])[] = [
      [(_, response) => response.end(Buffer.alloc(1001)), /more than 1000 bytes/],
      [(_, response) => void response.writeHead(200).write('a'), /takes longer than 1 s/],
      [() => undefined, /takes longer than 1 s/],
      [(_, response) => response.writeHead(404).end(), /status 404/],
      [(_, response) => response.writeHead(304).end(), /status 304/],
      [({ socket }) => socket.destroy(), /cannot be fetched/],
    ];
    await Promise.all(
      cases.map(([listener, message]) =>
        withServer(listener, async (options) => {
          await assert.rejects(fetchImage(options.url, options), { name: 'RequestError', message });
        }),
      ),
    );
  });
});
