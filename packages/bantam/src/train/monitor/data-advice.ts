import { samplesPerEpoch, type Source } from '../../data/index.js';
import type { Tokenizer } from '../../text/index.js';
import { passesWithoutLoss } from '../config/hold-out.js';
import type { InitSettings } from '../config/settings.js';
import { evenCaptions } from '../config/tokenizer.js';

/** Parts of a training that decide how long its captions may be. */
export interface CaptionContext {
  readonly tokenizer: Tokenizer;
  readonly config: { readonly init: InitSettings };
}

/** A sentence if captions fill the context, so that what is longer is cut; undefined if none does. */
export function cutCaptions(
  source: Source,
  { tokenizer, config: { init } }: CaptionContext,
): string | undefined {
  const { contextLength } = tokenizer;
  let count = 0;
  let full = 0;
  for (const caption of evenCaptions(source)) {
    count++;
    if (tokenizer.encode(caption).length >= contextLength) full++;
  }
  if (full === 0) return undefined;
  const fraction = full / count;
  const percent = fraction < 0.01 ? 'Fewer than 1 %' : `${Math.floor(100 * fraction)} %`;
  const longer = 2 * contextLength;
  const remedy =
    init.model === ''
      ? `--set tokenizer.contextLength=${longer} keeps more of them`
      : `"bantam models convert ${init.model} --to open-clip --context-length ${longer} --out DIR" makes a model that reads more`;
  return `${percent} of the captions fill the ${contextLength} tokens of the context, and what is longer is cut; ${remedy}.`;
}

/**
 * The advice of a run without validation that has passed over its data often; else undefined. An epoch
 * of a source with groups takes one record of each, so that a pass over all takes several epochs.
 */
export function passesAdvice(
  source: Pick<Source, 'size' | 'grouping' | 'mixture'>,
  epochs: number,
): string | undefined {
  const passes = Math.floor((epochs * samplesPerEpoch(source)) / source.size);
  if (passes < passesWithoutLoss) return undefined;
  return `After ${passes} passes over the ${source.size} samples a model may learn them by heart while its training loss still falls; a run with --validate held-out would show it.`;
}
