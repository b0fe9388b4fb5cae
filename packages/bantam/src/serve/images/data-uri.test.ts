import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { imageKind } from './image-kind.js';
import { readDataUri } from './data-uri.js';

const bounds = { imageBytes: 100 };
const bytes = Uint8Array.of(137, 80, 78, 71, 255, 254, 0);
const base64 = Buffer.from(bytes).toString('base64');

describe('readDataUri', () => {
  for (const uri of [
    `data:image/png;base64,${base64}`,
    `DATA:IMAGE/PNG;BASE64,${base64}`,
    `data:image/svg+xml;charset=utf-8;base64,${base64}`,
    `data:image/png;base64,${encodeURIComponent(base64)}`,
    `data:image/png;base64,${base64.replaceAll('=', '')}`,
  ]) {
    it(`reads ${uri.slice(0, 45)}`, () => {
      assert.deepEqual(readDataUri(uri, bounds), bytes);
    });
  }

  const refused: readonly (readonly [string, string, RegExp])[] = [
    ['no base64', 'data:image/png,abc', /no data URI with base64/],
    ['no comma', `data:image/png;base64;${base64}`, /no data URI with base64/],
    ['a type of no image', `data:text/html;base64,${base64}`, /type "text\/html"/],
    ['no type', `data:;base64,${base64}`, /no data URI with base64|of the type ""/],
    ['other characters', 'data:image/png;base64,!!!!', /no valid base64/],
    ['characters in between', `data:image/png;base64,${base64.slice(0, 4)} ${base64.slice(4)}`, /no valid base64/], // prettier-ignore
    ['nothing', 'data:image/png;base64,', /no valid base64/],
    ['a broken escape', 'data:image/png;base64,%zz', /broken escape/],
    ['too many bytes', `data:image/png;base64,${'A'.repeat(400)}`, /more than 100 bytes/],
    ['an endless type', `data:image/png;${'a=b;'.repeat(100)}base64,${base64}`, /no data URI/],
  ];
  for (const [what, uri, message] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(() => readDataUri(uri, bounds), { name: 'RequestError', status: 400, message });
    });
  }
});

describe('imageKind', () => {
  const of = (text: string) => imageKind(Buffer.from(text, 'latin1'));

  it('tells the kinds that are decoded', () => {
    assert.equal(of('\xff\xd8\xff\xe0'), 'jpeg');
    assert.equal(of('\x89PNG\r\n\x1a\n'), 'png');
    assert.equal(of('GIF89a'), 'gif');
    assert.equal(of('RIFF\0\0\0\0WEBPVP8 '), 'webp');
    assert.equal(of('II*\0'), 'tiff');
    assert.equal(of('\0\0\0 ftypavif'), 'avif');
  });

  it('knows no SVG, PDF, text or nothing', () => {
    for (const text of [
      '<svg xmlns="http://www.w3.org/2000/svg"/>',
      '<?xml',
      '%PDF-1.7',
      'abc',
      '',
    ]) {
      assert.equal(of(text), undefined);
    }
  });
});
