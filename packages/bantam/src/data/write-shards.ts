import { createHash } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { BantamError } from '../base/errors.js';
import { causeOf } from '../base/system-error.js';
import { makeFolder } from '../base/make-folder.js';
import type { QuarantinedSample } from './loader/quarantine.js';
import { decodeImage } from './images/decode.js';
import type { DataRecord, Source } from './sources/source.js';
import { tarEnd, tarHeader, tarPadding } from './sources/shards/tar.js';

export interface WriteShardsOptions {
  /** Folder for the shards; made where it is missing. */
  readonly out: string;
  /** Samples of a shard; 5000 by default. */
  readonly shardSize?: number;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

export interface ShardsSummary {
  /** Specification of the packed data. */
  readonly spec: string;
  readonly shards: number;
  /** Shards of an earlier run that were there already. */
  readonly kept: number;
  /** Samples in the shards that this run wrote. */
  readonly written: number;
  /** Images that could not be read and are left out. */
  readonly broken: readonly QuarantinedSample[];
}

/** Identifies the data and the settings that a folder's shards were written with. */
const manifestFile = 'pack.json';

/**
 * Writes a source as tar shards in webdataset's layout, `00000.tar` and so on, in the source's
 * order. A sample is its image's file unchanged (PNG where it is no JPEG, PNG or WebP), its first
 * caption as `.txt`, its label as `.cls`, and key, captions (synthetic
 * ones as well), label and metadata as `.json`.
 *
 * A shard is written under a temporary name and renamed when it is whole. After a run that was ended at any
 * moment, the same call writes what is missing; a folder with shards of other data is refused.
 */
export async function writeShards(
  source: Source,
  { out, shardSize = 5000, onProgress }: WriteShardsOptions,
): Promise<ShardsSummary> {
  if (!Number.isSafeInteger(shardSize) || shardSize < 1) {
    throw new BantamError(`A shard of ${shardSize} samples cannot be; choose 1 or more.`);
  }
  makeOut(out);
  await claim(out, JSON.stringify(describe(source, shardSize), null, 2));
  const shards = Math.ceil(source.size / shardSize);
  const digits = Math.max(5, String(shards - 1).length);
  const name = (shard: number): string => String(shard).padStart(digits, '0');
  const broken: QuarantinedSample[] = [];
  let kept = 0;
  let written = 0;
  for (let shard = 0; shard < shards; shard++) {
    const file = join(out, `${name(shard)}.tar`);
    if (existsSync(file)) {
      kept++;
      continue;
    }
    const partial = `${file}.partial-${process.pid}`;
    const handle = await open(partial, 'w');
    try {
      const end = Math.min((shard + 1) * shardSize, source.size);
      for (let index = shard * shardSize; index < end; index++) {
        const { record, image, reason } = await readImage(source, index);
        if (image === undefined) broken.push({ key: record.key, reason });
        else {
          await handle.write(sampleBytes(record, image, index));
          written++;
        }
        onProgress?.({ done: index + 1, total: source.size });
      }
      await handle.write(tarEnd);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, file);
  }
  // Half-written shards of runs that were ended.
  for (const left of readdirSync(out)) if (left.includes('.tar.partial-')) rmSync(join(out, left));
  const range = shards === 1 ? name(0) : `{${name(0)}..${name(shards - 1)}}`;
  return {
    spec: `wds:${join(out, `${range}.tar`)}`,
    shards,
    kept,
    written,
    broken,
  };
}

function makeOut(out: string): void {
  try {
    makeFolder(out);
  } catch (error) {
    throw new BantamError(
      `The folder "${out}" for shards cannot be made (${causeOf(error)}); name another one.`,
    );
  }
}

/** Manifest of the data: a digest over all records and locations. */
function describe(source: Source, shardSize: number) {
  const digest = createHash('sha256');
  for (let index = 0; index < source.size; index++) {
    digest.update(JSON.stringify([source.record(index), source.location(index)]));
  }
  const { spec, size: samples, licences } = source;
  return { format: 2, spec, samples, shardSize, digest: digest.digest('hex'), licences };
}

/** Claims a folder for these shards, or finds that it holds them already. */
async function claim(out: string, manifest: string): Promise<void> {
  const path = join(out, manifestFile);
  const found = await readFile(path, 'utf8').catch(() => undefined);
  if (found === manifest) return;
  if (found !== undefined || readdirSync(out).some((file) => file.endsWith('.tar'))) {
    throw new BantamError(
      `The folder "${out}" holds shards of other data or of another size; name an empty folder.`,
    );
  }
  await writeFile(`${path}.partial`, manifest, { flush: true });
  await rename(`${path}.partial`, path);
}

interface PackedImage {
  readonly extension: string;
  readonly bytes: Uint8Array;
}

async function readImage(
  source: Source,
  index: number,
): Promise<{ record: DataRecord; image?: PackedImage; reason: string }> {
  const record = source.record(index);
  try {
    const bytes = await source.image(index);
    const extension = extensionOf(bytes);
    if (extension !== undefined) return { record, image: { extension, bytes }, reason: '' };
    // The pixels that training and evaluation see of it.
    const { width, height, data } = await decodeImage(bytes);
    const png = await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer();
    return { record, image: { extension: 'png', bytes: png }, reason: '' };
  } catch (error) {
    return { record, reason: causeOf(error) };
  }
}

/** The extension of the formats that shards hold, recognised by their first bytes. */
function extensionOf(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.subarray(0, 12)).toString('latin1');
  if (start.startsWith('\xff\xd8\xff')) return 'jpg';
  if (start.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  return start.startsWith('RIFF') && start.endsWith('WEBP') ? 'webp' : undefined;
}

/** A sample's members, one behind the other. */
function sampleBytes(record: DataRecord, { extension, bytes }: PackedImage, index: number) {
  const { key, captions, synthetic, label, meta } = record;
  // The metadata come twice: at the top for other programs, and apart, as their names may be taken.
  const facts = {
    ...meta,
    meta,
    key,
    captions,
    ...(synthetic && { synthetic }),
    ...(label !== undefined && { label }),
  };
  const members: readonly [string, Uint8Array][] = [
    [extension, bytes],
    ['txt', Buffer.from(captions.slice(0, 1).join(''))],
    ...(label === undefined ? [] : [['cls', Buffer.from(label)] as [string, Uint8Array]]),
    ['json', Buffer.from(JSON.stringify(facts))],
  ];
  const name = String(index).padStart(9, '0');
  return Buffer.concat(
    members.flatMap(([kind, content]) => [
      tarHeader(`${name}.${kind}`, content.length),
      content,
      tarPadding(content.length),
    ]),
  );
}
