import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { samplesPerEpoch } from '../loader/order.js';
import { describeNote } from '../sources/notes.js';
import { openSource } from '../sources/open-source.js';
import type { Source } from '../sources/source.js';
import { subsetOf } from '../sources/subset-source.js';
import type { CriterionInput } from './criteria.js';
import { SourceDigest } from './pool.js';
import { readScores, type ScoreRow, type ScoreTable } from './score-file.js';
import { selectSubset } from './select.js';
import { readSubset, writeSubset } from './subset-file.js';

const count = 20;
let folder: string;
let source: Source;
let table: ScoreTable;

const at = (path: string): string => join(folder, path);
const key = (i: number): string => `images/${String(i).padStart(2, '0')}.png`;

/** Writes a score file of some rows. */
async function scoreFile(
  name: string,
  rows: readonly ScoreRow[],
  { records = rows.length, data = source.spec, digest = digestOf(source) } = {},
): Promise<string> {
  const header = { bantam: 'scores', format: 1, data, records, digest, scores: [], settings: {} };
  const lines = [header, ...rows].map((line) => `${JSON.stringify(line)}\n`);
  await writeFile(at(name), lines.join(''));
  return at(name);
}

function digestOf(data: Source): string {
  const digest = new SourceDigest();
  for (let i = 0; i < data.size; i++) digest.add(data.record(i));
  return digest.value;
}

async function pick(criteria: readonly CriterionInput[]): Promise<number[]> {
  const { mask } = await selectSubset(source, criteria, { scores: { '': table } });
  return [...mask.keys()].filter((i) => mask[i] === 1);
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bantam-select-'));
  const rows = Array.from({ length: count }, (_, i) => `${key(i)},caption ${i},class ${i % 3}`);
  await writeFile(at('pairs.csv'), `image,caption,label\n${rows.join('\n')}\n`);
  const opened = await openSource(`csv:${at('pairs.csv')}?label=label`);
  source = { ...opened, record: (i) => opened.record(i), location: (i) => opened.location(i), image: (i) => opened.image(i), size: opened.size }; // prettier-ignore
  const scored = Array.from({ length: count }, (_, i): ScoreRow => {
    if (i === 7) return { key: key(i), broken: 'truncated' };
    const phash = (i < 3 ? 0 : i).toString(16).padStart(16, i < 3 ? '0' : String(i % 10));
    return { key: key(i), quality: ((i * 7) % 20) / 10, language: i % 2 ? 'en' : 'de', phash };
  });
  table = await readScores(await scoreFile('scores.jsonl', scored));
});
after(() => rm(folder, { recursive: true }));

describe('readScores', () => {
  it('gives columns of numbers and texts, with gaps for broken records', () => {
    assert.equal(table.keys.length, count);
    assert.equal(table.broken, 1);
    assert.deepEqual([...(table.numbers.get('quality') ?? [])].slice(5, 9), [1.5, 0.2, NaN, 1.6]);
    assert.deepEqual(table.texts.get('language')?.slice(6, 9), ['de', undefined, 'de']);
  });

  it('refuses other files, damaged lines and missing rows', async () => {
    await writeFile(at('other.json'), '{"bantam":"subset"}\n');
    await assert.rejects(readScores(at('other.json')), /"[^"]+other.json" is no score file/);
    await assert.rejects(readScores(at('none')), /cannot be read \(no such file or folder\)/);
    const short = await scoreFile('short.jsonl', [{ key: 'a' }], { records: 2 });
    await assert.rejects(readScores(short), /has 1 whole rows of 2; score the data anew/);
    await writeFile(at('bad.jsonl'), `${JSON.stringify(table.header)}\n{"key":"a"}\nnonsense\n`);
    await assert.rejects(readScores(at('bad.jsonl')), /Line 3 of "[^"]+bad.jsonl" is no row/);
  });
});

describe('selectSubset', () => {
  it('keeps the top of the whole, of the scored records', async () => {
    const chosen = await pick([{ type: 'top', scores: ['quality'], fraction: 0.5 }]);
    assert.equal(chosen.length, Math.round(19 / 2));
    const least = Math.min(...chosen.map((i) => ((i * 7) % 20) / 10));
    for (let i = 0; i < count; i++) {
      if (i !== 7 && !chosen.includes(i)) assert.ok(((i * 7) % 20) / 10 < least);
    }
  });

  it('compares scores, and a missing one meets no comparison', async () => {
    assert.deepEqual(
      await pick([{ type: 'where', score: 'quality', is: '>=', value: 1.7 }]),
      [11, 14, 17],
    );
    const german = await pick([{ type: 'where', score: 'language', is: '!=', value: 'en' }]);
    assert.ok(!german.includes(7) && german.includes(6));
  });

  it('nests random fractions of one seed, whatever else is in the data', async () => {
    const random = (fraction: number, seed = 1): Promise<number[]> =>
      pick([{ type: 'random', fraction, seed }]);
    const [tenth, half] = [await random(0.1), await random(0.5)];
    assert.equal(tenth.length, 2);
    assert.equal(half.length, 10);
    assert.ok(tenth.every((i) => half.includes(i)));
    assert.notDeepEqual(half, await random(0.5, 2));
  });

  it('intersects criteria, and unites and complements them on demand', async () => {
    const high = { type: 'where', score: 'quality', is: '>=', value: 1 } as const;
    const english = { type: 'where', score: 'language', is: '=', value: 'en' } as const;
    const [a, b] = [new Set(await pick([high])), new Set(await pick([english]))];
    const all = [...Array(count).keys()];
    assert.deepEqual(await pick([high, english]), all.filter((i) => a.has(i) && b.has(i))); // prettier-ignore
    const { keys } = await selectSubset(source, [high, english], {
      scores: { '': table },
      combine: 'any',
    });
    assert.deepEqual(keys, all.filter((i) => a.has(i) || b.has(i)).map(key));
    assert.deepEqual(
      await pick([{ type: 'not', of: high }]),
      all.filter((i) => !a.has(i)),
    );
  });

  it('balances classes and drops duplicates, keeping the best', async () => {
    const balanced = await pick([{ type: 'per-class', count: 2, by: 'quality' }]);
    assert.equal(balanced.length, 6);
    const unique = await pick([{ type: 'unique', score: 'phash', distance: 0, by: 'quality' }]);
    // Records 0, 1 and 2 have one hash, and 2 has the highest score.
    assert.deepEqual(
      unique.filter((i) => i < 3),
      [2],
    );
    assert.equal(unique.length, count - 2);
  });

  it('reports how many each criterion alone keeps', async () => {
    const { alone, header } = await selectSubset(
      source,
      [
        { type: 'where', score: 'quality', is: '>=', value: 1 },
        { type: 'random', fraction: 0.5 },
      ],
      { scores: { '': table } },
    );
    assert.deepEqual(
      alone.map(({ kept }) => kept),
      [10, 10],
    );
    assert.deepEqual([header.of, header.data], [count, source.spec]);
    assert.equal(header.scores.length, 1);
  });

  it('matches scores by key when the data have another order or fewer records', async () => {
    const reversed = subsetOf(source, new Set([key(3), key(11), key(12)]));
    const { keys } = await selectSubset(
      reversed,
      [{ type: 'top', scores: ['quality'], fraction: 0.34 }],
      { scores: { '': table } },
    );
    assert.deepEqual(keys, [key(11)]);
  });

  it('refuses scores of other data, unknown scores, and an empty result', async () => {
    const foreign = await readScores(
      await scoreFile('foreign.jsonl', [{ key: 'x.jpg', quality: 1 }], { data: 'csv:x.csv' }),
    );
    const top = { type: 'top', scores: ['quality'], fraction: 0.5 } as const;
    await assert.rejects(
      selectSubset(source, [top], { scores: { '': foreign } }),
      /made for "csv:x.csv", are of other data: their records are called as "x.jpg", those of the data as "images\/00.png"/,
    );
    await assert.rejects(
      pick([{ ...top, scores: ['qualty'] }]),
      /The scores have no "qualty" \(did you mean "quality"\?\)/,
    );
    await assert.rejects(selectSubset(source, [top]), /needs a score file/);
    await assert.rejects(
      pick([{ type: 'where', score: 'quality', is: '>', value: 99 }]),
      /No record of 20 is left \(kept by each criterion alone: where: 0\); ask for less/,
    );
    await assert.rejects(
      pick([{ ...top, fraction: 2 }]),
      /"fraction" of criterion 1 is 2; it must be a number from 0 to 1/,
    );
    await assert.rejects(pick([{ ...top, scores: ['language'] }]), /is a text and has no order/);
  });

  it('notes captions that changed since they were scored', async () => {
    const renamed: Source = {
      ...source,
      record: (i) => ({ ...source.record(i), captions: ['another'] }),
    };
    const { notes } = await selectSubset(renamed, [{ type: 'random', fraction: 0.5 }], {
      scores: { '': table },
    });
    assert.ok(notes.some((note) => note.startsWith('The captions have changed')));
  });
});

describe('SPEC?subset=FILE', () => {
  const spec = (...files: string[]): string =>
    `csv:${at('pairs.csv')}?label=label${files.map((file) => `&subset=${at(file)}`).join('')}`;

  it('gives the chosen records with their classes, in the order of the data', async () => {
    const { header, keys } = await selectSubset(source, [{ type: 'random', fraction: 0.3 }]);
    writeSubset(at('random.txt'), header, keys.toReversed());
    const limited = await openSource(spec('random.txt'));
    assert.equal(limited.size, 6);
    assert.deepEqual(
      Array.from({ length: 6 }, (_, i) => limited.record(i).key),
      keys,
    );
    for (let i = 0; i < 6; i++) {
      const { label = '' } = limited.record(i);
      const { classes = [], labels = [] } = limited.labelSets.label ?? {};
      assert.equal(classes[labels[i] ?? -1], label);
      assert.equal(limited.location(i).path, at(limited.record(i).key));
    }
    assert.deepEqual(limited.notes?.map(describeNote), [
      `"${at('random.txt')}" keeps 6 of 20 records and leaves out 14.`,
    ]);
    assert.throws(() => limited.record(6), RangeError);
  });

  it('intersects several files, and takes plain lists of keys', async () => {
    await writeFile(at('a.txt'), `# a list\n${key(1)}\n${key(2)}\r\n\n${key(4)}\n`);
    await writeFile(at('b.txt'), `${key(4)}\n${key(1)}\n`);
    const limited = await openSource(spec('a.txt', 'b.txt'));
    assert.deepEqual([limited.record(0).key, limited.record(1).key], [key(1), key(4)]);
    assert.equal(limited.size, 2);
  });

  it('counts keys that are gone, and refuses a subset none of whose keys is there', async () => {
    await writeFile(at('gone.txt'), `${key(1)}\nimages/gone.png\nimages/lost.png\n`);
    const limited = await openSource(spec('gone.txt'));
    assert.equal(limited.size, 1);
    const [note] = limited.notes ?? [];
    assert.deepEqual([note?.kind, note?.count], ['changed', 2]);
    assert.match(note?.message ?? '', /^2 keys of "[^"]+gone.txt" without a record in the data\.$/);
    await writeFile(at('foreign.txt'), 'x\ny\n');
    await assert.rejects(
      openSource(spec('foreign.txt')),
      /None of the 2 keys of "[^"]+foreign.txt" is in "csv:[^"]+": they are called as "x", those of the data as "images\/00.png"; select from these data anew/,
    );
  });

  it('keeps one group per group that has members left', () => {
    const grouped: Source = {
      ...source,
      grouping: {
        groups: Int32Array.from({ length: count }, (_, i) => Math.floor(i / 2)),
        count: 10,
        weights: Float32Array.from({ length: count }, (_, i) => i),
      },
    };
    const limited = subsetOf(grouped, new Set([0, 1, 5, 18].map(key)));
    assert.deepEqual([...(limited.grouping?.groups ?? [])], [0, 0, 1, 2]);
    assert.deepEqual([...(limited.grouping?.weights ?? [])], [0, 1, 5, 18]);
    assert.equal(samplesPerEpoch(limited), 3);
  });
});

describe('readSubset', () => {
  it('reads back whatever keys were written', async () => {
    const keys = ['a b', ' a', '"quoted"', '#1', 'line\nbreak', '{"x"}', 'ä', ''];
    const header = { bantam: 'subset', format: 1, data: 'x', of: 9, size: keys.length, criteria: [], scores: [] } as const; // prettier-ignore
    writeSubset(at('odd.txt'), header, keys);
    const read = await readSubset(at('odd.txt'));
    assert.deepEqual([...read.keys], keys);
    assert.deepEqual(read.header, header);
  });

  it('refuses files that are cut off, of another kind, or empty', async () => {
    const header = { bantam: 'subset', format: 1, data: 'x', of: 9, size: 3, criteria: [], scores: [] } as const; // prettier-ignore
    writeSubset(at('cut.txt'), header, ['a', 'b']);
    await assert.rejects(readSubset(at('cut.txt')), /holds 2 keys, but its first line says 3/);
    await assert.rejects(readSubset(at('scores.jsonl')), /is no subset; name a file/);
    await writeFile(at('empty.txt'), '\n# nothing\n');
    await assert.rejects(readSubset(at('empty.txt')), /holds no keys/);
    await assert.rejects(readSubset(at('none.txt')), /cannot be read \(no such file or folder\)/);
  });
});
