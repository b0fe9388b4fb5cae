import { cat, fromTypedArray, scope, argmax, type Tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { LogisticData, logisticLogits, type LogisticModel } from './logistic.js';
import type { ProbeSet } from './probe-set.js';

/** A strength of the regularisation that was tried. */
export interface TriedC {
  readonly c: number;
  /** Accuracy on the validation set. */
  readonly accuracy: number;
}

export interface LinearProbeInput {
  readonly train: ProbeSet;
  readonly validation: ProbeSet;
  /** Number of classes. */
  readonly classes: number;
  /** Skips the search. */
  readonly c?: number;
  /** Receives each C that was tried. */
  readonly onTried?: (tried: TriedC) => void;
}

/** A linear classifier over features. */
export interface LinearProbe extends LogisticModel {
  /** scikit-learn's C that it was trained with. */
  readonly c: number;
  /** The values of C that were tried, in rising order; none if C was given. */
  readonly tried: readonly TriedC[];
}

/** C = 10^(i/8 − 6) for i = 0 … 96: 1e-6 … 1e6 in steps of an eighth of a decade. */
function gridC(i: number): number {
  return Number((10 ** (i / 8 - 6)).toPrecision(12));
}
const gridEnd = 96;

/** Tolerance of the search: the order of validation accuracies is settled long before the optimum. */
const searchTolerance = 1e-3;

/**
 * The linear probe of CLIP (Radford et al. 2021, appendix A.3): multinomial logistic regression by
 * L-BFGS. C is searched on the validation set: 1e-6, 1e-4, … 1e6 first, then twice on each side of
 * the best with half, a quarter, … of the distance, down to an eighth of a decade; of equals the
 * smallest C. The classifier is then trained on both sets.
 *
 * @throws BantamError for fewer than two classes, or no validation images.
 */
export function linearProbe(input: LinearProbeInput): LinearProbe {
  const { train, validation, classes } = input;
  const tried = input.c === undefined ? searchC(input) : [];
  const best = tried.reduce<TriedC | undefined>(
    (kept, one) => (kept === undefined || one.accuracy > kept.accuracy ? one : kept),
    undefined,
  );
  const c = input.c ?? best?.c;
  if (c === undefined) throw new BantamError('There is no C to train the linear probe with.');
  const features = scope(() => cat([train.features, validation.features], 0));
  const labels = Int32Array.from([...train.labels, ...validation.labels]);
  const both = new LogisticData(features, labels, classes);
  const model = both.fit({ c });
  both.dispose();
  features.dispose();
  return { ...model, c, tried };
}

function searchC({ train, validation, classes, onTried }: LinearProbeInput): TriedC[] {
  if (validation.labels.length === 0) {
    throw new BantamError(
      'There are no validation images to choose C on; give some, or a value of C.',
    );
  }
  const data = new LogisticData(train.features, train.labels, classes);
  const fitted = new Map<number, { model: LogisticModel; accuracy: number }>();
  const tryAt = (i: number): void => {
    if (i < 0 || i > gridEnd || fitted.has(i)) return;
    // The optimum of a neighbouring C is near: fewer iterations to the same optimum.
    const [near] = [...fitted.keys()].sort((a, b) => Math.abs(a - i) - Math.abs(b - i));
    const start = near === undefined ? undefined : fitted.get(near)?.model.weights;
    const model = data.fit({
      c: gridC(i),
      tolerance: searchTolerance,
      ...(start !== undefined && { start }),
    });
    const accuracy = accuracyOf(model, validation);
    fitted.set(i, { model, accuracy });
    onTried?.({ c: gridC(i), accuracy });
  };
  const best = (): number => {
    const order = [...fitted].sort(([a, x], [b, y]) => y.accuracy - x.accuracy || a - b);
    return at(order, 0)[0];
  };
  for (let i = 0; i <= gridEnd; i += 16) tryAt(i);
  for (let step = 8; step >= 1; step /= 2) {
    const peak = best();
    tryAt(peak - step);
    tryAt(peak + step);
  }
  data.dispose();
  return [...fitted]
    .sort(([a], [b]) => a - b)
    .map(([i, { accuracy }]) => ({ c: gridC(i), accuracy }));
}

function accuracyOf(model: LogisticModel, { features, labels }: ProbeSet): number {
  const answers = scope(() => argmax(logisticLogits(model, features), { dim: 1 }).toArray());
  return answers.filter((answer, row) => answer === at(labels, row)).length / labels.length;
}

/** The weights of some of a probe's classes, [K, D + 1] float32: the bias belongs to a feature 1. */
export function probeWeights(
  { weights }: LogisticModel,
  { classes, chosen }: { classes: number; chosen: readonly number[] },
): Tensor {
  const rows = weights.length / classes;
  const table = new Float32Array(chosen.length * rows);
  chosen.forEach((id, i) => {
    for (let row = 0; row < rows; row++) table[i * rows + row] = at(weights, row * classes + id);
  });
  return fromTypedArray(table, { shape: [chosen.length, rows] });
}
