import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { crc32c, EventWriter } from './tensorboard.js';

/** Fields of a protocol buffer message by number; the last one wins, as in the format's rules. */
function decode(message: Buffer): Map<number, Buffer | number> {
  const fields = new Map<number, Buffer | number>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const type = key & 7;
    if (type === 0) fields.set(key >> 3, varint());
    else if (type === 1) fields.set(key >> 3, message.readDoubleLE((at += 8) - 8));
    else if (type === 5) fields.set(key >> 3, message.readFloatLE((at += 4) - 4));
    else {
      const length = varint();
      fields.set(key >> 3, message.subarray(at, (at += length)));
    }
  }
  return fields;
}

function inner(fields: Map<number, Buffer | number>, field: number): Buffer {
  const value = fields.get(field);
  assert.ok(Buffer.isBuffer(value), `field ${field} is a message`);
  return value;
}

/** Events of a file; every checksum is checked. */
function readEvents(path: string): Map<number, Buffer | number>[] {
  const bytes = readFileSync(path);
  const unmask = (value: number): number => {
    const rotated = (value - 0xa282ead8) >>> 0;
    return ((rotated << 15) | (rotated >>> 17)) >>> 0;
  };
  const events = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    assert.equal(unmask(bytes.readUInt32LE(at + 8)), crc32c(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    assert.equal(unmask(bytes.readUInt32LE(at + 12 + length)), crc32c(data));
    events.push(decode(data));
    at += length + 16;
  }
  return events;
}

const directory = mkdtempSync(join(tmpdir(), 'bantam-events-'));
after(() => {
  rmSync(directory, { recursive: true });
});

describe('crc32c', () => {
  it('equals the examples of RFC 3720', () => {
    assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
    assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
    assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  });
});

describe('EventWriter', () => {
  it('writes a version and then scalars that decode to what was given', () => {
    const writer = new EventWriter(join(directory, 'run', 'tensorboard'));
    writer.scalar('train/loss', 0.5, 3, 1700000000.25);
    writer.scalar('größe', -1e-3, 2 ** 40 + 7, 1700000001);
    writer.close();
    const [version, ...scalars] = readEvents(writer.path);
    assert.equal(inner(version ?? new Map<number, Buffer>(), 3).toString(), 'brain.Event:2');
    const read = scalars.map((event) => {
      const value = decode(inner(decode(inner(event, 5)), 1));
      return [event.get(1), event.get(2), inner(value, 1).toString(), value.get(2)];
    });
    assert.deepEqual(read, [
      [1700000000.25, 3, 'train/loss', 0.5],
      [1700000001, 2 ** 40 + 7, 'größe', Math.fround(-1e-3)],
    ]);
  });

  it('keeps NaN and infinities', () => {
    const writer = new EventWriter(join(directory, 'special'));
    writer.scalar('a', NaN, 0);
    writer.scalar('b', -Infinity, 0);
    writer.close();
    const values = readEvents(writer.path)
      .slice(1)
      .map((event) => decode(inner(decode(inner(event, 5)), 1)).get(2));
    assert.deepEqual(values, [NaN, -Infinity]);
  });

  it('has every record in the file before the next is written', () => {
    const writer = new EventWriter(join(directory, 'crash'));
    writer.scalar('a', 1, 1);
    assert.equal(readEvents(writer.path).length, 2);
    writer.close();
  });

  it('opens a new file on resume and says from where it goes on', () => {
    const run = join(directory, 'resumed');
    const first = new EventWriter(run);
    first.scalar('a', 1, 1);
    first.close();
    const before = readFileSync(first.path);
    const second = new EventWriter(run, { startStep: 1 });
    second.scalar('a', 2, 1);
    second.close();
    assert.deepEqual(readFileSync(first.path), before);
    assert.equal(readdirSync(run).length, 2);
    const start = readEvents(second.path)[1] ?? new Map<number, Buffer | number>();
    assert.equal(start.get(2), 1);
    assert.equal(decode(inner(start, 7)).get(1), 1);
  });

  it('can be closed twice, and writes no more then', () => {
    const writer = new EventWriter(join(directory, 'closed'));
    writer.close();
    writer.close();
    writer.flush();
    assert.throws(() => {
      writer.scalar('a', 1, 1);
    }, /is closed/);
    assert.equal(readEvents(writer.path).length, 1);
  });
});
