import type { FewShotMethod, SmallestClass } from '../probes/few-shot.js';
import type { TriedC } from '../probes/linear-probe.js';
import type { ProbeLayer } from '../probes/probe-set.js';

/** Settings of the tasks that train a classifier on features. */
export interface ProbeOptions {
  /** `representation`, the vectors before the projection, by default. */
  readonly layer?: ProbeLayer;
  /** Scales each vector to length 1. False by default. */
  readonly normalize?: boolean;
  /** Linear probe: scikit-learn's C, instead of the search. */
  readonly c?: number;
  /** Few-shot: those of 1, 5, 10 and 25 that the data allow by default. */
  readonly shots?: readonly number[];
  /** Few-shot: `ridge` by default. */
  readonly method?: FewShotMethod;
  /** Nearest neighbours: 10, 20, 100 and 200 by default. */
  readonly neighbours?: readonly number[];
}

/** Features, splits and settings behind the scores of a probe. Plain data. */
export interface ProbeFacts {
  readonly layer: ProbeLayer;
  readonly normalized: boolean;
  /** Length of the vectors. */
  readonly width: number;
  /** Origin of the training images: a specification, or `split by key`. */
  readonly source: string;
  readonly train: number;
  readonly validation?: number;
  readonly test: number;
  /** Linear probe: the C that was chosen or given. */
  readonly c?: number;
  /** Linear probe: every C that was tried. */
  readonly tried?: readonly TriedC[];
  /** Linear probe: iterations of L-BFGS at the end, and whether it converged. */
  readonly iterations?: number;
  readonly converged?: boolean;
  /** Few-shot: accuracy of each seed, by number of shots. */
  readonly seeds?: readonly { readonly shots: number; readonly accuracies: readonly number[] }[];
  readonly method?: FewShotMethod;
  /** Few-shot: default numbers of shots that the smallest class has too few images for. */
  readonly leftOut?: SmallestClass & { readonly shots: readonly number[] };
}
