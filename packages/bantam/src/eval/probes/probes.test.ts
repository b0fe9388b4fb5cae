import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { liveTensors, narrow, tensor, type Tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import { storedJson, storedTensors } from '../../test-support/stored-tensors.js';
import { fewShot } from './few-shot.js';
import { nearestNeighbours } from './knn.js';
import { minimize } from './lbfgs.js';
import { linearProbe } from './linear-probe.js';
import { LogisticData, logisticLogits } from './logistic.js';
import { NumpyRandom } from './numpy-random.js';
import { matchClasses, splitByKey } from './probe-set.js';

interface Expected {
  readonly classes: number;
  readonly logistic: readonly { c: number; objective: number; accuracy: number }[];
  readonly few_shot: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
  readonly neighbours: Readonly<Record<string, readonly number[]>>;
  readonly permutations: readonly (readonly number[])[];
}
const expected = storedJson('probes') as Expected;
const stored = storedTensors('probes');
const labels = Int32Array.from(stored('labels').toArray());
const part = (start: number, length: number) => ({
  features: narrow(stored('features'), 0, start, length),
  labels: labels.slice(start, start + length),
});
const [train, test] = [part(0, 300), part(300, 120)];
const classes = Array.from({ length: expected.classes }, (_, id) => `class ${id}`);

function accuracy(logits: Tensor, wanted: Int32Array): number {
  const [rows, columns] = [logits.dim(0), logits.dim(1)];
  const values = logits.toArray();
  const hits = Array.from({ length: rows }, (_, row) => {
    const own = values.slice(row * columns, (row + 1) * columns);
    return own.indexOf(Math.max(...own)) === at(wanted, row);
  });
  return hits.filter(Boolean).length / rows;
}

describe('logistic regression', () => {
  for (const { c, objective, accuracy: wanted } of expected.logistic) {
    it(`has scikit-learn's optimum and accuracy, C ${c}`, () => {
      const data = new LogisticData(train.features, train.labels, expected.classes);
      const model = data.fit({ c });
      data.dispose();
      assert.ok(model.converged);
      const error = Math.abs(model.objective - objective) / objective;
      assert.ok(error < 1e-6, `${model.objective} is not ${objective}`);
      assert.equal(accuracy(logisticLogits(model, test.features), test.labels), wanted);
    });
  }

  it('has the same optimum from another start', () => {
    const data = new LogisticData(train.features, train.labels, expected.classes);
    const near = data.fit({ c: 1 });
    const { objective, iterations } = data.fit({ c: 0.316, start: near.weights });
    data.dispose();
    const wanted = at(expected.logistic, 1).objective;
    assert.ok(Math.abs(objective - wanted) / wanted < 1e-6);
    assert.ok(iterations > 0);
  });

  it('refuses images of one class', () => {
    assert.throws(
      () => new LogisticData(tensor([[1], [2]]), Int32Array.of(1, 1), 2),
      /two classes/,
    );
  });
});

describe('minimize', () => {
  it("finds the minimum of Rosenbrock's valley", () => {
    const found = minimize({
      start: Float64Array.of(-1.2, 1),
      tolerance: () => 1e-9,
      evaluate: ([x = NaN, y = NaN]) => ({
        value: 100 * (y - x * x) ** 2 + (1 - x) ** 2,
        gradient: Float64Array.of(-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)),
      }),
    });
    assert.ok(found.converged);
    for (const value of found.point) assert.ok(Math.abs(value - 1) < 1e-8);
  });

  it('says that it ended at its limit', () => {
    const found = minimize({
      start: Float64Array.of(9),
      maxIterations: 0,
      tolerance: () => 1e-6,
      evaluate: ([x = NaN]) => ({ value: x * x, gradient: Float64Array.of(2 * x) }),
    });
    assert.deepEqual([found.converged, found.iterations, found.value], [false, 0, 81]);
  });
});

describe('linearProbe', () => {
  it('searches C by halves, trains on both sets and leaves no tensors behind', () => {
    const start = liveTensors();
    const validation = part(200, 100);
    const input = { train: part(0, 200), validation, classes: expected.classes };
    const said: number[] = [];
    const probe = linearProbe({ ...input, onTried: ({ c }) => said.push(c) });
    const tried = probe.tried.map(({ c }) => c);
    assert.ok(tried.length >= 11 && tried.length <= 15, String(tried.length));
    assert.deepEqual(said.slice(0, 7), [1e-6, 1e-4, 1e-2, 1, 1e2, 1e4, 1e6]);
    assert.deepEqual(
      [...said].sort((a, b) => a - b),
      tried,
    );
    const best = Math.max(...probe.tried.map((one) => one.accuracy));
    const first = probe.tried.find((one) => one.accuracy === best);
    assert.equal(probe.c, first?.c);
    const data = new LogisticData(train.features, train.labels, expected.classes);
    const again = data.fit({ c: probe.c });
    data.dispose();
    assert.equal(probe.objective, again.objective);
    input.train.features.dispose();
    validation.features.dispose();
    assert.equal(liveTensors(), start);
  });

  it('needs validation images or a C', () => {
    const validation = part(0, 0);
    const input = { train, validation, classes: expected.classes };
    assert.throws(() => linearProbe(input), /no validation images/);
    assert.equal(linearProbe({ ...input, c: 0.5 }).c, 0.5);
  });
});

describe('fewShot', () => {
  it("predicts what big_vision's formula does, for each seed and number of shots", () => {
    const found = fewShot({ train, test, classes });
    assert.deepEqual(
      found.map(({ shots }) => shots),
      [1, 5, 10, 25],
    );
    for (const { shots, predicted, accuracies } of found) {
      predicted.forEach((answers, seed) => {
        const wanted = expected.few_shot[String(seed)]?.[String(shots)] ?? [];
        assert.deepEqual([...answers], wanted, `seed ${seed}, ${shots} shots`);
        const hits = wanted.filter((answer, row) => answer === at(test.labels, row)).length;
        assert.equal(at(accuracies, seed), hits / wanted.length);
      });
    }
  });

  it('trains a logistic regression on the same images', () => {
    const [five] = fewShot({ train, test, classes, method: 'logistic', shots: [5], seeds: [0] });
    const rows = new NumpyRandomRows(train.labels, classes.length).first(5);
    const data = new LogisticData(
      tensor(rows.map((row) => narrow(train.features, 0, row, 1).toArray())),
      Int32Array.from(rows, (row) => at(train.labels, row)),
      classes.length,
    );
    const model = data.fit({ c: 0.316 });
    assert.equal(five?.accuracies[0], accuracy(logisticLogits(model, test.features), test.labels));
  });

  it('refuses a class with fewer images than shots', () => {
    assert.throws(
      () => fewShot({ train, test, classes, shots: [1, 200] }),
      /The class "class \d" has \d+ training images, fewer than 200 shots; ask for at most \d+ \(--shots 1,5,10,25\)/,
    );
  });
});

/** Draws of seed 0, as the protocol makes them. */
class NumpyRandomRows {
  readonly #orders: number[][];

  constructor(of: Int32Array, count: number) {
    const random = new NumpyRandom(0);
    this.#orders = Array.from({ length: count }, (_, id) =>
      random.permutation([...of.keys()].filter((row) => of[row] === id)),
    );
  }

  first(shots: number): number[] {
    return this.#orders.flatMap((order) => order.slice(0, shots));
  }
}

describe('NumpyRandom', () => {
  it("permutes as numpy's default_rng does", () => {
    const random = new NumpyRandom(7);
    for (const wanted of expected.permutations) {
      assert.deepEqual(random.permutation([...wanted.keys()]), wanted);
    }
  });
});

describe('nearestNeighbours', () => {
  it('predicts what the published votes do', () => {
    const k = Object.keys(expected.neighbours).map(Number);
    const found = nearestNeighbours({ train, test, classes: expected.classes, k: [...k, 301] });
    assert.deepEqual(
      found.map((one) => one.k),
      k,
    );
    for (const one of found) {
      assert.deepEqual([...one.predicted], expected.neighbours[String(one.k)]);
    }
  });

  it('refuses more neighbours than images', () => {
    const input = { train, test, classes: expected.classes, k: [500, 1000] };
    assert.throws(() => nearestNeighbours(input), /300 training images, fewer than 500 neighbours/);
  });
});

describe('splits of data without splits', () => {
  const keys = Array.from({ length: 40 }, (_, i) => `folder/${i}.jpg`);
  const of = Int32Array.from(keys, (_, i) => (i === 39 ? -1 : i % 3));

  it('hold a quarter of each class for testing, whatever the order', () => {
    const split = splitByKey(keys, of, { test: true });
    assert.equal(split.train.length + split.validation.length + split.test.length, 39);
    for (const id of [0, 1, 2]) {
      const own = (rows: readonly number[]) => rows.filter((row) => at(of, row) === id).length;
      assert.deepEqual([own(split.test), own(split.validation), own(split.train)], [3, 3, 7]);
    }
    const backwards = splitByKey(keys.toReversed(), of.toReversed(), { test: true });
    const names = (rows: readonly number[], list: readonly string[]) =>
      rows.map((row) => at(list, row)).sort();
    assert.deepEqual(names(backwards.test, keys.toReversed()), names(split.test, keys));
  });

  it('have no test images where these are given', () => {
    assert.deepEqual(splitByKey(keys, of, { test: false }).test, []);
  });

  it('refuse classes that the training data lack', () => {
    const names = { train: 'folder:a', test: 'folder:b' };
    assert.deepEqual(
      matchClasses({ classes: ['b', 'a'] }, { classes: ['a', 'b', 'c'] }, names),
      [1, 0],
    );
    assert.throws(
      () => matchClasses({ classes: ['d'] }, { classes: ['a'] }, names),
      /"folder:a" have no class "d", which "folder:b" has/,
    );
  });
});
