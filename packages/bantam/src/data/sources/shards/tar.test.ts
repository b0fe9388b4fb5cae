import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TarDamage, tarEnd, tarHeader, tarPadding, TarReader, type TarMember } from './tar.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../../fixtures/data/${name}`, import.meta.url));

/** Members as Python's tarfile lists them; made by `fixtures/generate_shards.py`. */
const expected = JSON.parse(await readFile(fixture('shards.json'), 'utf8')) as Readonly<
  Record<string, readonly TarMember[]>
>;

let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bantam-tar-'));
});

after(async () => {
  await rm(directory, { recursive: true });
});

/** The members of an archive and what its end was like. */
function read(path: string): { members: TarMember[]; texts: string[]; damage?: string } {
  const reader = new TarReader(path);
  const members: TarMember[] = [];
  const texts: string[] = [];
  try {
    for (const member of reader.members()) {
      members.push(member);
      texts.push(reader.read(member).toString());
    }
    return { members, texts };
  } catch (error) {
    assert.ok(error instanceof TarDamage, String(error));
    return { members, texts, damage: error.message };
  } finally {
    reader.close();
  }
}

async function written(...bytes: Uint8Array[]): Promise<string> {
  const path = join(directory, 'test.tar');
  await writeFile(path, Buffer.concat(bytes));
  return path;
}

describe('TarReader', () => {
  for (const [format, members] of Object.entries(expected)) {
    it(`finds what Python's tarfile finds: ${format}`, () => {
      const found = read(fixture(`shard-${format}.tar`));
      assert.equal(found.damage, undefined);
      assert.deepEqual(found.members, members);
      assert.equal(found.texts[0], 'image 000.jpg');
    });
  }

  it('reads what tarHeader writes, without an end as well', async () => {
    const content = Buffer.alloc(5000, 'x');
    const member = [tarHeader('a.txt', 5000), content, tarPadding(5000)];
    for (const end of [[tarEnd], []]) {
      const { members, texts, damage } = read(await written(...member, ...end));
      assert.equal(damage, undefined);
      assert.deepEqual(members, [{ name: 'a.txt', offset: 512, length: 5000 }]);
      assert.equal(texts[0], content.toString());
    }
  });

  it('reads sizes in binary', async () => {
    const header = tarHeader('a', 0);
    header.fill(0, 124, 136).writeUInt32BE(0x80000000, 124);
    header.writeUInt32BE(3, 132);
    header.write(' '.repeat(8), 148);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    const { texts } = read(await written(header, Buffer.from('abc'), tarPadding(3)));
    assert.deepEqual(texts, ['abc']);
  });

  it('gives the whole members before a cut and says where it is', async () => {
    const archive = await readFile(fixture('shard-gnu.tar'));
    const members = expected.gnu ?? [];
    for (const cut of [1024, 1600, 2048, 2060, 4096, 9000]) {
      const found = read(await written(archive.subarray(0, cut)));
      const whole = members.filter(({ offset, length }) => offset + length <= cut);
      assert.deepEqual(found.members, whole, String(cut));
      if (cut % 512 !== 0) assert.match(found.damage ?? '', new RegExp(`ends at byte ${cut}`));
    }
    assert.match(read(await written()).damage ?? '', /is empty/);
  });

  it('tells what is no tar archive, and a compressed one', async () => {
    const noise = Buffer.from(Array.from({ length: 2048 }, (_, i) => (i * 37) % 251));
    assert.match(read(await written(noise)).damage ?? '', /no tar header at byte 0/);
    noise.writeUInt16BE(0x1f8b);
    assert.match(read(await written(noise)).damage ?? '', /compressed.*gunzip/);
  });
});
