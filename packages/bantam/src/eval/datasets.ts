import { emojiEvaluations, emojiStyles } from '../data/index.js';

/** A data set to evaluate on. */
export interface EvalDataset {
  /** Name in tables. */
  readonly name: string;
  /** Its source specification. */
  readonly spec: string;
  /** How it relates to what models are trained on, where that is known. */
  readonly kind?: DatasetKind;
}

export type DatasetKind = 'in-distribution' | 'held-out classes' | 'out-of-distribution';

/**
 * The data sets that a specification stands for: `emoji` alone is every style with default skin
 * tones, and the concepts that training leaves out; anything else is itself.
 */
export function evalDatasets(spec: string): EvalDataset[] {
  if (spec !== 'emoji') return [{ name: spec, spec }];
  const known = new Map(emojiStyles.map((style) => [style.name, style.inDistribution]));
  return emojiEvaluations.map((evaluation) => {
    const inside = known.get(evaluation.name);
    const kind =
      inside === undefined
        ? 'held-out classes'
        : inside
          ? 'in-distribution'
          : 'out-of-distribution';
    return { ...evaluation, kind };
  });
}
