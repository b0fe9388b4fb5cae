import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  AdamW,
  clamp_,
  exp,
  Generator,
  noGrad,
  openClipDecayRules,
  parameterGroups,
  scope,
  type Tensor,
} from '@bantam/torch';
import { clipLoss } from '../dist/losses/index.js';
import { createModel, fromOpenClip, loadModel, type Clip } from '../dist/models/index.js';
import { modelCases, openModelCase, readModelFixture, type Summary } from './model-fixtures.js';

function assertNear(actual: number, expected: number, tolerance: number, what: string): void {
  const message = `${what}: ${actual}, OpenCLIP has ${expected}`;
  assert.ok(Math.abs(actual - expected) <= tolerance, message);
}

/** √Σ(aᵢ − bᵢ)² */
function distance(a: readonly number[], b: readonly number[]): number {
  assert.equal(a.length, b.length);
  return Math.hypot(...a.map((value, i) => value - (b[i] ?? NaN)));
}

function at(values: readonly number[], indices: readonly number[]): number[] {
  return indices.map((place) => values[place] ?? NaN);
}

function contrastiveLoss(model: Clip, image: Tensor, text: Tensor): Tensor {
  return clipLoss(
    model.encodeImage(image, { normalize: true }),
    model.encodeText(text, { normalize: true }),
    exp(model.logitScale),
  );
}

/** The middle third of an attention's bias has no gradient but rounding; see generate_models.py. */
function isKeyBias(name: string, place: number, size: number): boolean {
  return name.endsWith('in_proj_bias') && Math.floor((3 * place) / size) === 1;
}

function assertSummary(name: string, values: readonly number[], expected: Summary): void {
  const norm = Math.hypot(...values);
  const sum = values.reduce((total, value) => total + value, 0);
  assertNear(norm, expected.norm, 1e-4 * expected.norm + 1e-7, `norm of ${name}`);
  // Errors of the elements, each 1e-4 of their typical size, that do not cancel out.
  const slack = 1e-4 * Math.sqrt(values.length) * expected.norm + 1e-6;
  assertNear(sum, expected.sum, slack, `sum of ${name}`);
}

for (const name of modelCases) {
  describe(`the model ${name}`, () => {
    const reference = openModelCase(name);
    const [image, text] = [reference.tensor('image'), reference.tensor('text')];

    it("has OpenCLIP's features within 2e-5", async () => {
      const { model } = await loadModel(reference.directory);
      noGrad(() => {
        scope(() => {
          for (const normalize of [false, true]) {
            const features = {
              image_features: model.encodeImage(image, { normalize }),
              text_features: model.encodeText(text, { normalize }),
            };
            for (const [key, actual] of Object.entries(features)) {
              const expected = reference.tensor(normalize ? `${key}_normalized` : key);
              assert.deepEqual(actual.shape, expected.shape);
              const values = expected.toArray();
              actual.toArray().forEach((value, i) => {
                assertNear(value, values[i] ?? NaN, 2e-5, `${key}[${i}]`);
              });
            }
          }
        });
      });
    });

    it("has OpenCLIP's loss, and every parameter's gradient within 1e-4 of its size", async () => {
      const { model } = await loadModel(reference.directory);
      scope(() => {
        const loss = contrastiveLoss(model, image, text);
        assertNear(loss.item(), reference.loss, 1e-5, 'loss');
        assertNear(exp(model.logitScale).item(), reference.logitScale, 1e-5, 'scale');
        loss.backward();
        const parameters = model.namedParameters();
        assert.deepEqual([...parameters.keys()].sort(), Object.keys(reference.gradients).sort());
        for (const [key, parameter] of parameters) {
          const gradient = parameter.grad?.toArray() ?? [];
          const summary = reference.gradients[key] ?? { norm: NaN, sum: NaN };
          assertSummary(`gradient of ${key}`, gradient, summary);
          const { values, indices } = reference.elements('grad', key, parameter.size);
          const error = distance(at(gradient, indices), values);
          // For a sample: its fraction of the elements.
          const size = summary.norm * Math.sqrt(values.length / parameter.size);
          assert.ok(error <= 1e-4 * size + 1e-8, `gradient of ${key}: ${error} of ${size}`);
        }
      });
    });

    for (const rule of ['openclip', 'no_pos_decay'] as const) {
      it(`has OpenCLIP's weights after 20 steps of AdamW, decay by ${rule}`, async () => {
        const { model } = await loadModel(reference.directory);
        const { adamw } = reference;
        const record = reference.training[rule];
        const positions = { match: '/positional_embedding/', weightDecay: 0 };
        const rules = [...openClipDecayRules, ...(rule === 'openclip' ? [] : [positions])];
        const groups = parameterGroups(model, rules);
        const free = groups.filter(({ weightDecay }) => weightDecay === 0);
        const names = free.flatMap(({ parameters }) => [...parameters.keys()]);
        assert.deepEqual(names.sort(), [...record.noDecay].sort());
        const { lr, betas, eps, weight_decay: weightDecay } = adamw;
        const optimizer = new AdamW(groups, { lr, betas, eps, weightDecay });
        for (let step = 0; step < adamw.steps; step++) {
          scope(() => {
            optimizer.zeroGrad();
            const loss = contrastiveLoss(model, image, text);
            assertNear(loss.item(), record.losses[step] ?? NaN, 1e-4, `loss of step ${step}`);
            loss.backward();
            optimizer.step();
            noGrad(() => clamp_(model.logitScale, { min: 0, max: Math.log(100) }));
            const scale = record.logitScales[step] ?? NaN;
            assertNear(model.logitScale.item(), scale, 1e-4, `logit scale of step ${step}`);
          });
        }
        for (const [key, parameter] of model.namedParameters()) {
          const { size } = parameter;
          const weights = parameter.toArray();
          const known = weights.filter((_, place) => !isKeyBias(key, place, size));
          assertSummary(key, known, record.weights[key] ?? { norm: NaN, sum: NaN });
          if (rule !== 'openclip') continue;
          const { values, indices } = reference.elements('trained', key, size);
          indices.forEach((place, i) => {
            const tolerance = isKeyBias(key, place, size) ? 1e-3 : 1e-4;
            assertNear(weights[place] ?? NaN, values[i] ?? NaN, tolerance, `${key}[${place}]`);
          });
        }
      });
    }
  });
}

type Distribution =
  | { kind: 'constant'; value: number }
  | { kind: 'normal'; mean: number; std: number }
  | { kind: 'uniform'; low: number; high: number };

interface InitFixture {
  seeds: number;
  model_cfg: unknown;
  parameters: Record<string, { shape: number[]; expected: Distribution }>;
}

/** Mean, standard deviation and fourth standardised moment (3: normal, 1.8: uniform). */
function moments(values: readonly number[]): { mean: number; std: number; kurtosis: number } {
  const average = (of: (value: number) => number) =>
    values.reduce((sum, value) => sum + of(value), 0) / values.length;
  const mean = average((value) => value);
  const std = Math.sqrt(average((value) => (value - mean) ** 2));
  return { mean, std, kurtosis: average((value) => ((value - mean) / std) ** 4) };
}

describe('createModel', () => {
  const { seeds, model_cfg, parameters } = readModelFixture('init.json') as InitFixture;
  const drawn = new Map<string, number[]>();
  const shapes = new Map<string, readonly number[]>();
  for (let seed = 0; seed < seeds; seed++) {
    using model = createModel(fromOpenClip(model_cfg), { generator: new Generator({ seed }) });
    for (const [name, parameter] of model.namedParameters()) {
      shapes.set(name, parameter.shape);
      drawn.set(name, [...(drawn.get(name) ?? []), ...parameter.toArray()]);
    }
  }

  it("makes OpenCLIP's parameters", () => {
    assert.deepEqual(
      Object.fromEntries(shapes),
      Object.fromEntries(Object.entries(parameters).map(([name, { shape }]) => [name, shape])),
    );
  });

  for (const [name, { expected }] of Object.entries(parameters)) {
    it(`initialises ${name} as OpenCLIP: ${expected.kind}`, () => {
      const values = drawn.get(name) ?? [];
      if (expected.kind === 'constant') {
        for (const value of values) assertNear(value, expected.value, 1e-6, name);
        return;
      }
      const uniform = expected.kind === 'uniform';
      const mean = uniform ? (expected.low + expected.high) / 2 : expected.mean;
      const std = uniform ? (expected.high - expected.low) / Math.sqrt(12) : expected.std;
      const found = moments(values);
      // Five standard errors of each estimate.
      const rare = 5 / Math.sqrt(values.length);
      assertNear(found.mean, mean, rare * std, `mean of ${name}`);
      assertNear(found.std, std, rare * std, `deviation of ${name}`);
      assertNear(found.kurtosis, uniform ? 1.8 : 3, rare * Math.sqrt(24), `shape of ${name}`);
      if (!uniform) return;
      for (const value of values) assert.ok(value >= expected.low && value <= expected.high);
    });
  }
});
