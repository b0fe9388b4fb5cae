import { emojiEvaluations, emojiStyles } from '../data/index.js';

/** A data set to evaluate on. */
export interface EvalDataset {
  /** What tables call it. */
  readonly name: string;
  /** Its source specification. */
  readonly spec: string;
  /** How it relates to what models are trained on, where that is known. */
  readonly kind?: DatasetKind;
}

export type DatasetKind = 'seen style' | 'unseen concepts' | 'unseen style';

/**
 * The data sets that a specification stands for: `emoji` alone is every style with default skin
 * tones, and the concepts that training leaves out; anything else is itself.
 */
export function evalDatasets(spec: string): EvalDataset[] {
  if (spec !== 'emoji') return [{ name: spec, spec }];
  const seen = new Map(emojiStyles.map((style) => [style.name, style.seen]));
  return emojiEvaluations.map((evaluation) => {
    const known = seen.get(evaluation.name);
    const kind = known === undefined ? 'unseen concepts' : known ? 'seen style' : 'unseen style';
    return { ...evaluation, kind };
  });
}
