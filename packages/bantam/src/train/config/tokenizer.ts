import {
  CounterRng,
  hasCaptions,
  requireCaptions,
  sampleCaption,
  templatesOf,
  type Source,
} from '../../data/index.js';
import {
  loadTokenizer,
  trainTokenizer,
  type Tokenizer,
  type TrainTokenizerOptions,
} from '../../text/index.js';
import type { TrainConfig } from './config.js';

/**
 * The texts of a source's captions: each record's captions, synthetic ones as well, one caption
 * sampled by the caption template, and every prompt of the source's label sets.
 */
function* captionTexts(source: Source, seed: number): Generator<string> {
  for (let index = 0; index < source.size; index++) {
    const record = source.record(index);
    yield* record.captions;
    for (const { text } of record.synthetic ?? []) yield text;
    if (!hasCaptions(record)) continue;
    const rng = new CounterRng({ seed, purpose: 'tokenizer', epoch: 0, index });
    yield sampleCaption(record, templatesOf(source, record), rng);
  }
  for (const { classes, templates } of Object.values(source.labelSets)) {
    for (const name of classes) {
      for (const template of templates) yield template.replaceAll('{}', () => name);
    }
  }
}

/** The tokenizer that the settings name, that of the initial model, or one trained on the captions. */
export async function prepareTokenizer(
  { tokenizer: settings, seed }: Pick<TrainConfig, 'tokenizer' | 'seed'>,
  source: Source,
  initial: Tokenizer | undefined,
): Promise<Tokenizer> {
  const { path, wrapper, vocabSize, contextLength } = settings;
  if (path !== '') {
    return loadTokenizer(path, { contextLength, ...(wrapper !== 'auto' && { wrapper }) });
  }
  if (initial !== undefined) return initial;
  return trainOnSource(source, { seed, vocabSize, contextLength });
}

/** Kind of a trained tokenizer, and the settings of a unigram model. */
export type TokenizerKind = Pick<
  TrainTokenizerOptions,
  'type' | 'characterCoverage' | 'byteFallback' | 'normalization' | 'maxCaptions'
>;

/**
 * A tokenizer trained on the captions of a source.
 *
 * @throws BantamError if it has none.
 */
export function trainOnSource(
  source: Source,
  {
    seed,
    ...options
  }: TokenizerKind & {
    readonly seed: number;
    readonly vocabSize: number;
    readonly contextLength: number;
  },
): Tokenizer {
  requireCaptions(source);
  return trainTokenizer(captionTexts(source, seed), options);
}

/** Records that {@link longestCaption} reads. */
const READ_RECORDS = 2000;

/** A caption with its number of tokens. */
export interface CountedCaption {
  readonly text: string;
  readonly tokens: number;
}

/** The captions of a source with one by its templates; of a large one, among evenly spaced records. */
export function* evenCaptions(source: Source): Generator<string, void, undefined> {
  const step = Math.max(1, source.size / READ_RECORDS);
  for (let position = 0; position < source.size; position += step) {
    const index = Math.floor(position);
    const record = source.record(index);
    yield* record.captions;
    if (!hasCaptions(record)) continue;
    const rng = new CounterRng({ seed: 0, purpose: 'caption', epoch: 0, index });
    const sampled = sampleCaption(record, templatesOf(source, record), rng);
    if (!record.captions.includes(sampled)) yield sampled;
  }
}

/** The longest caption of a source; of a large one, among evenly spaced records. */
export function longestCaption(source: Source, tokenizer: Tokenizer): CountedCaption {
  let longest: CountedCaption = { text: '', tokens: 1 };
  for (const caption of evenCaptions(source)) {
    const tokens = tokenizer.encode(caption).length;
    if (tokens > longest.tokens) longest = { text: caption, tokens };
  }
  return longest;
}
