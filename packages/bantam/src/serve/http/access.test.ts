import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BantamError } from '../../base/errors.js';
import { createAccess, isLoopback } from './access.js';

const key = 'a-key-of-more-than-16-characters';
const loopback = { apiKeys: [], host: '127.0.0.1', hosts: [], public: false };

function refuses(check: () => void, status: number, code: string): void {
  assert.throws(check, { name: 'RequestError', status, details: { code } });
}

describe('createAccess with keys', () => {
  const check = createAccess({ ...loopback, host: '0.0.0.0', apiKeys: [key, `${key}-2`] });

  it('lets each of its keys in, by any name of the server', () => {
    for (const one of [key, `${key}-2`]) {
      check('/v1/embeddings', { authorization: `Bearer ${one}`, host: 'shop.example.com' });
      check('/metrics', { authorization: `bearer ${one}` });
    }
  });

  it('asks for no key at /healthz alone', () => {
    check('/healthz', {});
    for (const path of ['/v1/models', '/metrics', '/openapi.json', '/healthz/', '/v1/embeddings']) {
      refuses(() => { check(path, {}); }, 401, 'missing_api_key'); // prettier-ignore
    }
  });

  it('refuses every other key alike', () => {
    for (const wrong of [key.slice(0, -1), `${key}x`, key.toUpperCase(), 'x', `${key},${key}`]) {
      refuses(() => { check('/metrics', { authorization: `Bearer ${wrong}` }); }, 401, 'invalid_api_key'); // prettier-ignore
    }
    for (const other of [`Basic ${key}`, key, 'Bearer', 'Bearer ', `Bearer ${key} ${key}`]) {
      refuses(() => { check('/metrics', { authorization: other }); }, 401, 'missing_api_key'); // prettier-ignore
    }
  });
});

describe('createAccess without keys', () => {
  it('answers to names of this machine, and to those that are allowed', () => {
    const check = createAccess({ ...loopback, hosts: ['shop.local'] });
    for (const host of [
      'localhost:8000',
      '127.0.0.1',
      '[::1]:8000',
      'shop.local:80',
      'SHOP.local',
    ]) {
      check('/v1/models', { host });
    }
    for (const host of [
      'evil.com',
      'localhost.evil.com',
      '10.0.0.1',
      '0.0.0.0',
      '',
      'a b',
      undefined,
    ]) {
      refuses(() => { check('/v1/models', { host }); }, 421, 'wrong_host'); // prettier-ignore
    }
  });

  it('refuses to listen beyond this machine', () => {
    for (const host of ['0.0.0.0', '::', '192.168.1.5', 'shop.example.com']) {
      assert.throws(() => createAccess({ ...loopback, host }), {
        name: 'BantamError',
        message: /anybody in the network could use the server: set an API key .* --public/,
      });
    }
    createAccess({ ...loopback, host: '0.0.0.0', public: true })('/v1/models', { host: 'a.com' });
  });

  it('refuses keys that are short or hold blanks', () => {
    for (const bad of ['short', `${key} ${key}`]) {
      assert.throws(() => createAccess({ ...loopback, apiKeys: [bad] }), BantamError);
    }
  });
});

describe('isLoopback', () => {
  it('holds for this machine alone', () => {
    for (const host of ['localhost', '127.0.0.1', '127.5.5.5', '::1']) assert.ok(isLoopback(host));
    for (const host of ['0.0.0.0', '::', '10.0.0.1', 'localhost.com']) assert.ok(!isLoopback(host));
  });
});
