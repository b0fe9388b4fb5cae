import {
  add,
  argmax,
  cat,
  div,
  eye,
  fromTypedArray,
  full,
  matmul,
  mean,
  mul,
  noGrad,
  Operator,
  scope,
  sqrt,
  sub,
  to,
  transpose,
  variance,
  type Tensor,
} from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { LogisticData, logisticLogits } from './logistic.js';
import { NumpyRandom } from './numpy-random.js';
import { selectRows, type ProbeSet } from './probe-set.js';

/** Ways to train a classifier on a few images of each class. */
export const fewShotMethods = ['ridge', 'logistic'] as const;
export type FewShotMethod = (typeof fewShotMethods)[number];

/** Images of each class that are tried unless others are asked for. */
export const defaultShots: readonly number[] = [1, 5, 10, 25];

/** The class with the fewest training images. */
export interface SmallestClass {
  readonly name: string;
  readonly images: number;
}

/** @param sizes Training images of each class. */
export function smallestClass(
  classes: readonly string[],
  sizes: ArrayLike<number>,
): SmallestClass | undefined {
  let smallest: SmallestClass | undefined;
  classes.forEach((name, id) => {
    const images = at(sizes, id);
    if (smallest === undefined || images < smallest.images) smallest = { name, images };
  });
  return smallest;
}

/** @throws BantamError naming the class that has fewer training images than the most shots. */
export function checkShots(smallest: SmallestClass | undefined, shots: readonly number[]): void {
  const most = Math.max(...shots);
  if (smallest === undefined || smallest.images >= most) return;
  const { name, images } = smallest;
  const usual = defaultShots.filter((count) => count <= images);
  const remedy =
    images === 0
      ? 'add images'
      : `ask for at most ${images} (--shots ${(usual.length > 0 ? usual : [images]).join(',')}) or add images`;
  throw new BantamError(
    `The class "${name}" has ${images} training ${images === 1 ? 'image' : 'images'}, fewer than ${most} shots; ${remedy}.`,
  );
}

export interface FewShotInput {
  readonly train: ProbeSet;
  readonly test: ProbeSet;
  /** Names of the classes. */
  readonly classes: readonly string[];
  /** Images of each class. 1, 5, 10 and 25 by default. */
  readonly shots?: readonly number[];
  /** 0, 1 and 2 by default. */
  readonly seeds?: readonly number[];
  /** `ridge` by default. */
  readonly method?: FewShotMethod;
  /** Strength of the ridge: 2¹⁰ by default. */
  readonly lambda?: number;
  /** scikit-learn's C of the logistic regression: 0.316, that of CLIP's example, by default. */
  readonly c?: number;
}

/** Accuracy with a number of images of each class. */
export interface FewShotScore {
  readonly shots: number;
  /** Accuracy for each seed. */
  readonly accuracies: readonly number[];
  /** Class that each test image was taken for, for each seed. */
  readonly predicted: readonly Int32Array[];
}

/** Appended to the features, so large that the bias is almost unregularised. */
const biasFeature = 100;

/**
 * Few-shot classification by the protocol of big_vision (`evaluators/fewshot_lsr.py`). For each seed
 * numpy's generator permutes the training images of class 0, 1, … in turn; the first k of each are
 * the k shots, so that fewer shots are among more. `ridge`: features standardised by mean and
 * standard deviation of the k-shot set, (x−μ)/(σ+1e-5), a constant feature 100, targets ±1, and
 * W = (XᵀX + λI)⁻¹XᵀY, or Xᵀ(XXᵀ + λI)⁻¹Y where there are fewer images than features; the answer is
 * the argmax of xW. `logistic`: multinomial logistic regression on the same images.
 *
 * @throws BantamError for a class with fewer training images than shots.
 */
export function fewShot(input: FewShotInput): FewShotScore[] {
  const { train, test, classes } = input;
  const { shots = defaultShots, seeds = [0, 1, 2], method = 'ridge' } = input;
  const members: number[][] = classes.map(() => []);
  train.labels.forEach((label, row) => at(members, label).push(row));
  const sizes = members.map(({ length }) => length);
  checkShots(smallestClass(classes, sizes), shots);
  const draws = seeds.map((seed) => {
    const random = new NumpyRandom(seed);
    return members.map((rows) => random.permutation(rows));
  });
  return shots.map((count) => {
    const predicted = draws.map((orders) => {
      const rows = orders.flatMap((order) => order.slice(0, count));
      const labels = Int32Array.from(rows, (row) => at(train.labels, row));
      const features = selectRows(train.features, rows, { unit: false });
      const chosen = { features, labels };
      const answers = method === 'ridge' ? ridge(chosen, input) : logistic(chosen, input);
      features.dispose();
      return answers;
    });
    const accuracies = predicted.map((answers) => {
      const hits = answers.filter((answer, row) => answer === at(test.labels, row)).length;
      return hits / answers.length;
    });
    return { shots: count, accuracies, predicted };
  });
}

const solveOp = new Operator('aten::linalg_solve');

function ridge(
  { features, labels }: ProbeSet,
  { test, classes, lambda = 1024 }: FewShotInput,
): Int32Array {
  return noGrad(() =>
    scope(() => {
      const wide = to(features, { dtype: 'float64' });
      const centre = mean(wide, { dim: 0, keepdim: true });
      const spread = add(sqrt(variance(wide, { dim: 0, keepdim: true, correction: 0 })), 1e-5);
      const standardise = (x: Tensor): Tensor => {
        const scaled = div(sub(to(x, { dtype: 'float64' }), centre), spread);
        return cat([scaled, full([x.dim(0), 1], biasFeature, { dtype: 'float64' })], 1);
      };
      const x = standardise(features);
      const xt = transpose(x, 0, 1);
      const y = signs(labels, classes.length);
      const [samples, width] = [x.dim(0), x.dim(1)];
      const regular = (n: number): Tensor => mul(eye(n, { dtype: 'float64' }), lambda);
      const weights =
        samples >= width
          ? solveOp.tensor(add(matmul(xt, x), regular(width)), matmul(xt, y))
          : matmul(xt, solveOp.tensor(add(matmul(x, xt), regular(samples)), y));
      return answersOf(matmul(standardise(test.features), weights));
    }),
  );
}

function logistic(
  { features, labels }: ProbeSet,
  { test, classes, c = 0.316 }: FewShotInput,
): Int32Array {
  const data = new LogisticData(features, labels, classes.length);
  const model = data.fit({ c });
  data.dispose();
  return scope(() => answersOf(logisticLogits(model, test.features)));
}

/** Targets [N, C]: 1 for the class of each row, else −1. */
function signs(labels: Int32Array, classes: number): Tensor {
  const values = new Float64Array(labels.length * classes).fill(-1);
  labels.forEach((label, row) => {
    values[row * classes + label] = 1;
  });
  return fromTypedArray(values, { shape: [labels.length, classes] });
}

function answersOf(scores: Tensor): Int32Array {
  return Int32Array.from(argmax(scores, { dim: 1 }).toArray());
}
