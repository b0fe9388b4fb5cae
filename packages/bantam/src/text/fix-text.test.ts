import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fixture } from '../test-support/text-fixture.js';
import { cleanText, fixText, unescapeHtml } from './clean.js';
import { fixMojibake } from './mojibake.js';

describe('fixText', () => {
  it('equals ftfy on damaged and on sound text', () => {
    for (const [text, fixed] of fixture('fix-text.json') as [string, string][]) {
      assert.equal(fixText(text), fixed, JSON.stringify(text.slice(0, 80)));
    }
  });

  it('makes lone surrogates replacement characters', () => {
    assert.equal(fixText('a\ud83d b\udca9 c\ud83d\udca9'), 'a\ufffd b\ufffd c\ud83d\udca9');
  });
});

describe('fixMojibake', () => {
  it('undoes repeated damage, and damage beside other scripts', () => {
    assert.equal(fixMojibake('cafÃƒÂ©'), 'café');
    assert.equal(fixMojibake('cafÃ© 猫 itâ€™s'), 'café 猫 it’s');
  });

  it('leaves sound text alone', () => {
    for (const text of ['plain', 'Çà et là', 'CAFÉ™ “É”…', '日本語', 'Ñandú ©']) {
      assert.equal(fixMojibake(text), text);
    }
  });
});

describe('unescapeHtml', () => {
  it("reads references as Python's html.unescape does", () => {
    const cases: [string, string][] = [
      ['&amp;lt; &notit; &copy2026', '&lt; ¬it; ©2026'],
      ['&#39;&#x1F600;&#150;&#0;&#xD800;&#1114112;', "'😀–\ufffd\ufffd\ufffd"],
      ['a&#1;b&#xFFFE;c&#129;', 'abc\u0081'],
      ['AT&T & &; &#; &#x;', 'AT&T & &; &#; &#x;'],
    ];
    for (const [text, plain] of cases) assert.equal(unescapeHtml(text), plain);
  });
});

describe('cleanText', () => {
  it('cleans as the name says', () => {
    const text = '  It&#39;s  “A_B”\u00a0&amp;amp; C!\u200b ';
    assert.equal(cleanText(text, 'none'), text);
    assert.equal(cleanText(text, 'whitespace'), 'It\'s "A_B" & C!\u200b');
    assert.equal(cleanText(text, 'lower'), 'it\'s "a_b" & c!\u200b');
    assert.equal(cleanText(text, 'canonicalize'), 'its a b c\u200b');
  });
});
