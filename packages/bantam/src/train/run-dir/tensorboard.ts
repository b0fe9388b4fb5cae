import { closeSync, existsSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { at } from '../../base/at.js';
import { makeFolder } from '../../base/make-folder.js';

export interface EventWriterOptions {
  /**
   * First step that this writer will write, if a run resumes: TensorBoard then forgets this step and
   * later ones of earlier files in the directory.
   */
  readonly startStep?: number;
}

/**
 * Writes scalars as TensorBoard events. Each writer appends to a file of its own, one whole record
 * at a time, so that a crash loses at most a record's end, which readers skip, and a run that
 * resumes never touches earlier files.
 */
export class EventWriter {
  readonly path: string;
  readonly #file: number;
  #open = true;

  /** Makes the directory if it is missing, and a new event file in it. */
  constructor(directory: string, { startStep }: EventWriterOptions = {}) {
    makeFolder(directory);
    const now = Date.now() / 1000;
    this.path = newPath(directory, Math.floor(now));
    this.#file = openSync(this.path, 'ax');
    this.#write(event(now, 0, bytesField(eventField.fileVersion, text('brain.Event:2'))));
    if (startStep === undefined) return;
    const started = varintField(sessionLogField.status, sessionStart);
    this.#write(event(now, startStep, bytesField(eventField.sessionLog, started)));
  }

  /** Adds a point to a curve; `wallTime` in seconds since 1970, now by default. */
  scalar(tag: string, value: number, step: number, wallTime = Date.now() / 1000): void {
    const point = Buffer.concat([
      bytesField(valueField.tag, text(tag)),
      floatField(valueField.simpleValue, value),
    ]);
    const summary = bytesField(summaryField.value, point);
    this.#write(event(wallTime, step, bytesField(eventField.summary, summary)));
  }

  /** Writes through to the disk, so that a crash of the machine loses nothing. */
  flush(): void {
    if (this.#open) fsyncSync(this.#file);
  }

  close(): void {
    if (!this.#open) return;
    this.flush();
    closeSync(this.#file);
    this.#open = false;
  }

  #write(data: Buffer): void {
    if (!this.#open) throw new Error(`${this.path} is closed.`);
    writeSync(this.#file, frame(data));
  }
}

/** TensorBoard reads the files of a directory in the order of their names, which start by time. */
function newPath(directory: string, seconds: number): string {
  for (let count = 0; ; count++) {
    const owner = `${hostname()}.${process.pid}.${count}`;
    const path = join(directory, `events.out.tfevents.${seconds}.${owner}`);
    if (!existsSync(path)) return path;
  }
}

/** A TFRecord: length, checksum of the length, data, checksum of the data, all little-endian. */
function frame(data: Buffer): Buffer {
  const record = Buffer.alloc(8 + 4 + data.length + 4);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(masked(record.subarray(0, 8)), 8);
  data.copy(record, 12);
  record.writeUInt32LE(masked(data), 12 + data.length);
  return record;
}

/** A checksum that is safe to store beside data that holds checksums: rotated, plus a constant. */
function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

// Numbers of the protocol buffer fields in tensorflow.Event and the messages within it.
const eventField = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 };
const summaryField = { value: 1 };
const valueField = { tag: 1, simpleValue: 2 };
const sessionLogField = { status: 1 };
const sessionStart = 1;

function event(wallTime: number, step: number, content: Buffer): Buffer {
  return Buffer.concat([
    doubleField(eventField.wallTime, wallTime),
    varintField(eventField.step, step),
    content,
  ]);
}

const wireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 };

function key(field: number, type: number): Buffer {
  return varint((field << 3) | type);
}

/** An unsigned integer, seven bits a byte, the lowest first. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

function varintField(field: number, value: number): Buffer {
  return Buffer.concat([key(field, wireType.varint), varint(value)]);
}

function doubleField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([key(field, wireType.fixed64), bytes]);
}

function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([key(field, wireType.fixed32), bytes]);
}

function bytesField(field: number, value: Buffer): Buffer {
  return Buffer.concat([key(field, wireType.bytes), varint(value.length), value]);
}

function text(value: string): Buffer {
  return Buffer.from(value, 'utf8');
}

/** Remainders of all bytes under the Castagnoli polynomial, bits reversed. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = (remainder >>> 1) ^ (remainder & 1 ? 0x82f63b78 : 0);
  }
  return remainder;
});

/** CRC-32C (Castagnoli; RFC 3720, appendix B.4) as an unsigned 32-bit integer. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ at(table, (crc ^ byte) & 0xff);
  return ~crc >>> 0;
}
