import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { BantamError } from '../../base/errors.js';
import { sampleCaption } from './captions.js';
import { inspectSource } from '../inspect.js';
import { openSource } from './open-source.js';
import { writeShards } from '../write-shards.js';
import { CounterRng } from '../counter-rng.js';
import type { Source } from './source.js';

let directory: string;
let table: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bantam-captions-'));
  for (const name of ['a', 'b', 'c']) {
    await sharp({ create: { width: 8, height: 8, channels: 3, background: '#d22' } })
      .png()
      .toFile(join(directory, `${name}.png`));
  }
  table = await write('pairs.csv', 'image,caption\na.png,real a\nb.png,real b\nc.png,real c\n');
});
after(() => rm(directory, { recursive: true }));

async function write(name: string, text: string): Promise<string> {
  await writeFile(join(directory, name), text);
  return join(directory, name);
}

/** A line of a caption file. */
function line(key: string, ...texts: string[]): string {
  return `${JSON.stringify({ key, captions: texts.map((text) => ({ text, source: 'coca:x' })) })}\n`;
}

async function refusal(spec: string): Promise<string> {
  try {
    await openSource(spec);
  } catch (error) {
    assert.ok(error instanceof BantamError, String(error));
    return error.message;
  }
  return assert.fail(`${spec} was opened`);
}

/** The captions of a record in many epochs. */
function drawn(source: Source, index: number, epochs = 4000): string[] {
  return Array.from({ length: epochs }, (_, epoch) => {
    const rng = new CounterRng({ seed: 3, purpose: 'caption', epoch, index });
    return sampleCaption(source.record(index), source.captionTemplates, rng);
  });
}

describe('captions=FILE', () => {
  it('lays captions over the records of their keys, and leaves the real ones', async () => {
    const first = await write('first.jsonl', line('a.png', 'one', 'two') + line('z.png', 'other'));
    const second = await write('second.jsonl', line('a.png', 'three'));
    const source = await openSource(`csv:${table}?captions=${first}&captions=${second}`);
    assert.deepEqual(source.record(0), {
      key: 'a.png',
      captions: ['real a'],
      synthetic: ['one', 'two', 'three'].map((text) => ({ text, source: 'coca:x' })),
      meta: {},
    });
    assert.equal(source.record(1).synthetic, undefined);
    assert.match(
      source.notes?.at(-1)?.message ?? '',
      /^1 of 3 records have synthetic.* probability 0\.5\.$/,
    );
    const joined = await write(
      'joined.jsonl',
      line('a.png', 'one', 'two') + line('a.png', 'three'),
    );
    const other = await openSource(`csv:${table}?captions=${joined}`);
    assert.deepEqual(other.record(0), source.record(0));
  });

  it('draws synthetic captions with the stated probability, all equally often', async () => {
    const file = await write('weights.jsonl', line('a.png', 'one', 'two'));
    for (const probability of [0, 0.5, 0.2, 1]) {
      const set = probability === 0.5 ? '' : `&synthetic=${probability}`;
      const source = await openSource(`csv:${table}?captions=${file}${set}`);
      const captions = drawn(source, 0);
      for (const [text, expected] of [
        ['real a', 1 - probability],
        ['one', probability / 2],
        ['two', probability / 2],
      ] as const) {
        const found = captions.filter((caption) => caption === text).length / captions.length;
        // Four standard deviations.
        const error = 4 * Math.sqrt((expected * (1 - expected)) / captions.length);
        assert.ok(Math.abs(found - expected) <= error, `${text}: ${found} for ${expected}`);
      }
    }
  });

  it('leaves the streams of other records and other sources as they were', async () => {
    const text = 'image,caption\na.png,"[""1"",""2"",""3""]"\nb.png,"[""4"",""5"",""6""]"\n';
    const path = await write('lists.csv', text);
    const file = await write('lists.jsonl', line('a.png', 'one'));
    const plain = await openSource(`csv:${path}`);
    const laid = await openSource(`csv:${path}?captions=${file}`);
    assert.deepEqual(drawn(laid, 1, 100), drawn(plain, 1, 100));
    // As they were before there were synthetic captions: one draw, among the real ones.
    const numbers = Array.from({ length: 100 }, (_, epoch) => {
      return new CounterRng({ seed: 3, purpose: 'caption', epoch, index: 0 }).integer(3) + 1;
    });
    assert.equal(drawn(plain, 0, 100).join(), numbers.join());
  });

  it('uses the lines before the position at which a file is cut off', async () => {
    const file = await write('cut.jsonl', line('a.png', 'one') + line('b.png', 'two').slice(0, -9));
    const source = await openSource(`csv:${table}?captions=${file}`);
    assert.equal(source.record(1).synthetic, undefined);
    assert.match(
      source.notes?.[0]?.message ?? '',
      /last line of ".*cut\.jsonl" is cut off; the 1 images/,
    );
    const whole = await write(
      'open.jsonl',
      line('a.png', 'one') + line('b.png', 'two').slice(0, -1),
    );
    assert.equal(
      (await openSource(`csv:${table}?captions=${whole}`)).record(1).synthetic?.length,
      1,
    );
  });

  it('refuses files of other data, without captions, damaged or not there, and bad fractions', async () => {
    const good = await write('good.jsonl', line('a.png', 'one'));
    const header =
      '{"bantam":"captions","format":1,"data":"folder:x","captioner":"c","settings":{}}\n';
    const cases: [string, RegExp][] = [
      [
        `?captions=${await write('other.jsonl', header + line('x/1.png', 'one'))}`,
        /other\.jsonl", made for "folder:x", has captions of other data .* called as "x\/1\.png", those of the data as "a\.png"/,
      ],
      [
        `?captions=${await write('none.jsonl', header)}`,
        /"[^"]*none\.jsonl" holds no captions yet/,
      ],
      [
        `?captions=${await write('bad.jsonl', `${line('a.png', 'one')}{"key":"b.png"}\n${line('c.png', 'x')}`)}`,
        /Line 2 of "[^"]*bad\.jsonl" is no caption record/,
      ],
      [
        `?captions=${await write('blank.jsonl', line('a.png', ' ') + line('c.png', 'x'))}`,
        /Line 1 of "[^"]*blank\.jsonl" is no caption record/,
      ],
      [
        '?captions=nowhere.jsonl',
        /caption file "nowhere\.jsonl" cannot be read \(no such file or folder\)/,
      ],
      [`?captions=${good}&synthetic=2`, /"2" in .* is not a number from 0 to 1/],
      [`?captions=${good}&synthetic=`, /"" in .* is not a number from 0 to 1/],
      ['?synthetic=0.5', /its records have none; name a file with captions=FILE\.jsonl/],
      [`?caption=title&captoins=${good}`, /no option "captoins" \(did you mean "captions"\?\)/],
    ];
    for (const [query, message] of cases)
      assert.match(await refusal(`csv:${table}${query}`), message);
  });

  it('shows in a summary, and goes into shards', async () => {
    const file = await write('shown.jsonl', line('a.png', 'one', 'two') + line('c.png', 'three'));
    const source = await openSource(`csv:${table}?captions=${file}&synthetic=0.25`);
    const { synthetic, captions } = await inspectSource(source);
    assert.equal(captions.count, 3);
    const { examples, ...counted } = synthetic ?? assert.fail();
    assert.deepEqual(counted, { records: 2, captions: 3, sources: ['coca:x'], fraction: 0.25 });
    assert.deepEqual(examples[1], {
      key: 'c.png',
      captions: ['real c'],
      synthetic: [{ text: 'three', source: 'coca:x' }],
    });
    const { spec } = await writeShards(source, { out: join(directory, 'shards') });
    const cacheDir = join(directory, 'cache');
    const packed = await openSource(spec, { cacheDir });
    for (let index = 0; index < 3; index++) {
      assert.deepEqual(packed.record(index).synthetic, source.record(index).synthetic);
      assert.deepEqual(packed.record(index).captions, source.record(index).captions);
    }
    const half = await openSource(`${spec}?synthetic=1`, { cacheDir });
    assert.deepEqual(new Set(drawn(half, 0, 100)), new Set(['one', 'two']));
  });
});
