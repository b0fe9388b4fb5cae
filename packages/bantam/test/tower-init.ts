import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ImageTower } from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';

/** How the reference drew a parameter. */
interface Drawn {
  readonly size: number;
  readonly mean: number;
  readonly std: number;
  /** The largest absolute value. */
  readonly max: number;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * Compares a tower's initial weights with what fixtures/towers.py wrote of the reference's: mean and
 * spread within 6 standard errors, the largest value as far out as chance allows.
 */
export function itStartsAsTheReference(fixture: string, create: () => ImageTower): void {
  it(`initialises its weights as the reference: ${fixture}`, () => {
    using tower = create();
    const reference = readModelFixture(`${fixture}.json`) as Readonly<Record<string, Drawn>>;
    const parameters = tower.namedParameters();
    assert.deepEqual([...parameters.keys()].sort(), Object.keys(reference).sort());
    for (const [name, parameter] of parameters) {
      const drawn = reference[name] ?? assert.fail(name);
      const values = parameter.toArray();
      assert.equal(values.length, drawn.size, name);
      const mean = meanOf(values);
      const std = Math.sqrt(meanOf(values.map((value) => (value - mean) ** 2)));
      const error = (6 * Math.max(std, drawn.std)) / Math.sqrt(values.length);
      assert.ok(Math.abs(mean - drawn.mean) <= error + 1e-12, `${name}: mean ${mean}`);
      assert.ok(Math.abs(std - drawn.std) <= error + 1e-12, `${name}: std ${std}`);
      const max = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
      assert.ok(max <= 2 * drawn.max && drawn.max <= 2 * max, `${name}: largest ${max}`);
    }
  });
}
