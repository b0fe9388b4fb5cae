import { samplesPerEpoch, type Source } from '../../data/index.js';
import type { Tokenizer } from '../../text/index.js';
import { passesWithoutLoss } from '../config/hold-out.js';
import { evenCaptions } from '../config/tokenizer.js';

/** A sentence if captions fill the context, so that what is longer is cut; undefined if none does. */
export function cutCaptions(source: Source, tokenizer: Tokenizer): string | undefined {
  let count = 0;
  let full = 0;
  let example = '';
  for (const caption of evenCaptions(source)) {
    count++;
    if (tokenizer.encode(caption).length < tokenizer.contextLength) continue;
    full++;
    if (caption.length > example.length) example = caption;
  }
  if (full === 0) return undefined;
  const percent = ((100 * full) / count).toFixed(full / count < 0.01 ? 2 : 0);
  const shown = example.length > 60 ? `${example.slice(0, 60)}…` : example;
  return `${full} of ${count} captions (${percent} %) fill the context of ${tokenizer.contextLength} tokens, and what is longer is cut, such as "${shown}" (${example.length} characters); a longer context is set by tokenizer.contextLength.`;
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
  return `The run has passed over the ${source.size} samples ${passes} times. From about here a model may learn them by heart while the training loss still falls; only a validation shows it: name data with --validate SPEC, or hold some of these out with --validate held-out.`;
}
