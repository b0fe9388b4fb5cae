import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import type { CounterRng } from '../counter-rng.js';
import type { CaptionTemplates, DataRecord, Source } from './source.js';

/** Common names of columns and fields with captions. */
export const commonCaptionNames = ['caption', 'captions', 'title', 'text', 'description'] as const;

/** Prompts for photographs of a class, plainest first. */
export const folderTemplates: readonly string[] = [
  'a photo of a {}.',
  'a picture of a {}.',
  'an image of a {}.',
  '{}',
];

/** The class that a folder is named by: `_` and `-` are read as spaces. */
export function className(folder: string): string {
  return folder.normalize('NFC').replaceAll(/[_-]+/g, ' ').trim();
}

/** {@link folderTemplates} of a class, as captions of its images. */
export function promptsOf(label: string): string[] {
  return folderTemplates.map((template) => template.replaceAll('{}', () => label));
}

/** Members of a comma-separated metadata field. */
export function members(field: string | undefined): string[] {
  return (field ?? '')
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '');
}

/** {@link CaptionTemplates.synthetic} where captions templates do not set it. */
export const syntheticFraction = 0.5;

/**
 * Samples a training caption: with the probability of `captionTemplates` one of the record's synthetic
 * captions, if it has any, all equally likely, and always if it has no others; else a template by weight, then its fields. A field
 * that the record lacks, or has no members of, is removed with the comma and the spaces around it.
 */
export function sampleCaption(
  record: DataRecord,
  captionTemplates: CaptionTemplates,
  rng: CounterRng,
): string {
  const { synthetic = [] } = record;
  // No random number is used for records without synthetic captions.
  const isSynthetic =
    synthetic.length > 0 && rng.chance(captionTemplates.synthetic ?? syntheticFraction);
  if (isSynthetic || (record.captions.length === 0 && synthetic.length > 0)) {
    return withoutTokens(at(synthetic, rng.integer(synthetic.length)).text);
  }
  const { templates } = captionTemplates;
  // A single template needs no random number.
  const index = templates.length === 1 ? 0 : rng.weighted(templates.map(({ weight }) => weight));
  const filled = at(templates, index).template.replaceAll(
    /\{(\w+)(?::(\d+))?\}/g,
    (_, name, most) =>
      field(record, String(name), most === undefined ? undefined : Number(most), rng),
  );
  const caption = filled
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/( ?,)+ ?(?=,|$)|^[ ,]+/g, '')
    .trim();
  return withoutTokens(caption === '' ? at(record.captions, 0) : caption);
}

/** The start of what tokenizers take for a special token: `<|endoftext|>`, `</s>`, `[SEP]` and the like. */
const tokenStart =
  /<\|?\/?(?=(?:startoftext|endoftext|start_of_text|end_of_text|im_start|im_end|s|bos|eos|pad|unk|mask)\|?>)|\[(?=(?:CLS|SEP|PAD|UNK|MASK)\])/gi;

/**
 * A caption in which no special token is: tokenizers find them within texts, and what follows an end
 * token would be lost to the text tower.
 */
function withoutTokens(caption: string): string {
  return caption.replaceAll(tokenStart, (start) => `${start} `);
}

/** A record can be trained on: it has captions, or synthetic ones. */
export function hasCaptions({ captions, synthetic = [] }: DataRecord): boolean {
  return captions.length > 0 || synthetic.length > 0;
}

/**
 * Checks by the first record that a source, or each source of a mix, has captions.
 *
 * @throws BantamError naming the source of a mix by the key of its first record.
 */
export function requireCaptions(source: Pick<Source, 'spec' | 'mixture' | 'record'>): void {
  const { spec, mixture } = source;
  const firsts = mixture?.map(({ start }) => start) ?? [0];
  const bare = firsts.map((index) => source.record(index)).find((first) => !hasCaptions(first));
  if (bare === undefined) return;
  const where = mixture === undefined ? '' : ` for one of its sources, that of "${bare.key}"`;
  throw new BantamError(
    `"${spec}" has no captions to train on${where}; put them beside the images, or take the names of files with ?caption=name.`,
  );
}

/**
 * Checks caption templates: at least one, each with a positive weight and a field, and a fraction of
 * synthetic captions from 0 to 1.
 *
 * @throws BantamError naming the first fault.
 */
export function checkCaptionTemplates(captionTemplates: CaptionTemplates): void {
  const { synthetic = syntheticFraction } = captionTemplates;
  if (!(synthetic >= 0 && synthetic <= 1)) {
    throw new BantamError(
      `The fraction of synthetic captions is ${synthetic}; it must be from 0 to 1.`,
    );
  }
  if (captionTemplates.templates.length === 0)
    throw new BantamError('Caption templates need at least one template.');
  for (const { weight, template } of captionTemplates.templates) {
    if (!(weight > 0) || !/\{\w+(:\d+)?\}/.test(template)) {
      throw new BantamError(
        `Caption template "${template}" with weight ${weight} needs a weight above 0 and a field such as {caption}.`,
      );
    }
  }
}

function field(
  record: DataRecord,
  name: string,
  most: number | undefined,
  rng: CounterRng,
): string {
  if (name === 'caption') return at(record.captions, rng.integer(record.captions.length));
  const value = name === 'label' ? record.label : record.meta[name];
  if (most === undefined) return value ?? '';
  const words = members(value);
  const count = Math.min(words.length, 1 + rng.integer(most));
  return rng.shuffle(words, count).slice(0, count).join(', ');
}

/** A text, or those of a list, trimmed, without the empty ones. */
export function textsOf(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list
    .flatMap((text) => (typeof text === 'string' || typeof text === 'number' ? [String(text)] : []))
    .map((text) => trimText(text))
    .filter((text) => text !== '');
}

/** A text without white space and invisible characters at its ends. */
export function trimText(text: string): string {
  return text.replaceAll(/^[\s\u200b-\u200d\u2060\ufeff]+|[\s\u200b-\u200d\u2060\ufeff]+$/g, '');
}
