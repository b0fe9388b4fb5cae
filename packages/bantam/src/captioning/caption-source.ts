import { rmSync } from 'node:fs';
import { BantamError } from '../base/errors.js';
import { decodeImage } from '../data/images/decode.js';
import { readLocation, type ImageLocation } from '../data/images/location.js';
import {
  Quarantine,
  type QuarantinedSample,
  type QuarantineOptions,
} from '../data/loader/quarantine.js';
import type { Source } from '../data/sources/source.js';
import type { CaptionHeader } from '../data/sources/caption-file.js';
import { CaptionWriter } from './caption-writer.js';
import type { Captioner, CaptionImage } from './captioner.js';

/** How far captioning has come. */
export interface CaptionProgress {
  /** Images that this run has captioned or skipped. */
  readonly done: number;
  /** Images that were without captions when this run began. */
  readonly total: number;
}

export interface CaptionSourceOptions {
  /** The caption file; a run with the same settings resumes it. */
  readonly out: string;
  /** Captions of each image; 3 by default. */
  readonly count?: number;
  /** 0 by default. */
  readonly seed?: number;
  /** Captions only this many images, the source's first. */
  readonly limit?: number;
  /** How many broken images stop the run; they are named in `OUT.quarantine.jsonl`. */
  readonly quarantine?: Omit<QuarantineOptions, 'path'>;
  /** Asks for an end after what is done. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CaptionProgress) => void;
  /** Receives notes for users, such as a line of the file that was cut off. */
  readonly onNote?: (note: string) => void;
}

export interface CaptionSummary {
  readonly out: string;
  readonly captioner: string;
  /** Images that were asked for: the source's, or `limit`. */
  readonly images: number;
  /** Images with captions of an earlier run. */
  readonly kept: number;
  /** Images with captions of this run. */
  readonly written: number;
  /** Captions of this run. */
  readonly captions: number;
  /** Images without captions: broken ones, and those without a usable answer. */
  readonly skipped: readonly QuarantinedSample[];
  readonly interrupted: boolean;
}

/**
 * Writes captions of a source's images to a file, a line for each image, in the source's order.
 * Each line is in the file as soon as its caption is known. After a run that was ended at any moment, the same
 * call goes on: it takes the images that have no captions yet. Images that are broken, or for
 * which the captioner finds nothing, are named in `OUT.quarantine.jsonl` and tried again by the
 * next call.
 *
 * @throws BantamError when the captioner cannot go on, the file was made with other settings or
 * cannot be written, or too many images are broken; captions that are written stay.
 */
export async function captionSource(
  source: Source,
  captioner: Captioner,
  {
    out,
    count = 3,
    seed = 0,
    limit = source.size,
    quarantine: limits,
    signal,
    onProgress,
    onNote,
  }: CaptionSourceOptions,
): Promise<CaptionSummary> {
  const header: CaptionHeader = {
    bantam: 'captions',
    format: 1,
    data: source.spec,
    captioner: captioner.source,
    settings: { count, seed, ...captioner.settings },
  };
  const writer = await CaptionWriter.open(out, header);
  for (const note of writer.notes) onNote?.(note);
  const images = Math.min(limit, source.size);
  const missing = Array.from({ length: images }, (_, index) => index).filter(
    (index) => !writer.keys.has(source.record(index).key),
  );
  const wanted = new Set(missing.map((index) => source.record(index).key));
  const path = `${out}.quarantine.jsonl`;
  // All of the images that it names are tried again.
  rmSync(path, { force: true });
  const quarantine = new Quarantine({ ...limits, path });
  let written = 0;
  let captions = 0;
  const report = (): void =>
    onProgress?.({ done: written + quarantine.count, total: missing.length });
  let tried = 0;
  async function* readable(): AsyncGenerator<CaptionImage> {
    for (const index of withCompany(missing, captioner, source)) {
      if (signal?.aborted) return;
      const { key } = source.record(index);
      if (wanted.has(key)) tried++;
      try {
        yield { index, key, ...(await readImage(source.location(index))) };
      } catch (error) {
        if (!wanted.has(key)) continue;
        quarantine.add({ key, reason: error instanceof Error ? error.message : '' }, tried);
      }
    }
  }
  try {
    report();
    const request = { count, seed, ...(signal && { signal }) };
    for await (const outcome of captioner.caption(readable(), request)) {
      if (!wanted.has(outcome.key)) continue;
      if ('reason' in outcome) quarantine.add(outcome, tried);
      else {
        const { key, captions: texts } = outcome;
        writer.append({ key, captions: texts.map((text) => ({ text, source: header.captioner })) });
        written++;
        captions += texts.length;
      }
      report();
    }
  } catch (error) {
    throw error instanceof BantamError ? stopped(error, writer, written) : error;
  } finally {
    writer.close();
  }
  const [last] = quarantine.samples.slice(-1);
  if (last !== undefined && writer.keys.size + written === 0) {
    throw new BantamError(
      `None of the ${tried} images could be captioned (the last is "${last.key}": ${last.reason}); "${path}" names them all.`,
    );
  }
  return {
    out,
    captioner: captioner.source,
    images,
    kept: images - missing.length,
    written,
    captions,
    skipped: quarantine.samples,
    interrupted: signal?.aborted === true && written + quarantine.count < missing.length,
  };
}

/** These images and those that are captioned together with them, in the source's order. */
function withCompany(
  indices: readonly number[],
  { together }: Captioner,
  { size }: Source,
): number[] {
  const starts = new Set(indices.map((index) => index - (index % together)));
  return [...starts].flatMap((start) =>
    Array.from({ length: Math.min(together, size - start) }, (_, i) => start + i),
  );
}

async function readImage(location: ImageLocation): Promise<Pick<CaptionImage, 'pixels' | 'file'>> {
  const bytes = await readLocation(location);
  const { raw } = location;
  if (raw !== undefined) return { pixels: { ...raw, data: bytes } };
  return { pixels: await decodeImage(bytes), file: bytes };
}

/** The error that ends a run, with what remains of it. */
function stopped(error: BantamError, { path, keys }: CaptionWriter, written: number): BantamError {
  const kept = keys.size + written;
  if (kept === 0) return error;
  const images = kept === 1 ? '1 image' : `${kept} images`;
  return new BantamError(
    `${error.message.replace(/\.$/, '')}; the captions of ${images} are kept in "${path}", and the same command resumes after them.`,
  );
}
