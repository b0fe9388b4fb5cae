import { emojiEvaluations, emojiStyles, type Source } from '../data/index.js';
import type { ImageNetSet } from './protocols/imagenet.js';

/** A data set to evaluate on. */
export interface EvalDataset {
  /** Name in tables. */
  readonly name: string;
  /** Its source specification. */
  readonly spec: string;
  /** The source, if it is opened already; default: that of `spec`. */
  readonly source?: Source;
  /** How it relates to what models are trained on, where that is known. */
  readonly kind?: DatasetKind;
  /** Probes: specification of the training images; absent: a split of the data themselves. */
  readonly train?: string;
  /** Probes: specification of the validation images; absent: a part of the training images. */
  readonly validation?: string;
  /** ImageNet's classes to choose among; absent: by the labels, see `imagenetLabels`. */
  readonly classes?: ImageNetSet;
  /** Fields of the records' metadata to group accuracies by, such as `region`. */
  readonly groups?: readonly string[];
  /** WinoGAViL: file of cues, candidates and associations. */
  readonly associations?: string;
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
