import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { add, full, mul, narrow, scope, sum, to, type Tensor } from '@bantam/torch';
import {
  featureLoss,
  hardNegatives,
  interactiveLoss,
  pairMatchingLoss,
  relationLoss,
  type NegativeChoice,
  type ScaledFeatures,
} from '../dist/losses/index.js';
import { describeLoss, firstRows, openLosses, type LossCase } from './loss-fixture.js';
import { find } from './tower-fixture.js';

const reference = openLosses('distillation');
const batches = [1, 2, 7, 16];
const groups = (n: number) => firstRows(reference, 'groups', n);

/** A teacher's features in the student's type. */
function teacher(number: 1 | 2, n: number, { dtype }: Tensor): ScaledFeatures {
  const rows = (side: string) => to(firstRows(reference, `${side}${number}`, n), { dtype });
  return { image: rows('image'), text: rows('text'), logitScale: number === 1 ? 20 : 50 };
}

type Loss = LossCase<'image' | 'text' | 'scale' | 'matcher'>['loss'];

const relation =
  (...numbers: readonly (1 | 2)[]): Loss =>
  ({ image, text, scale }, n, chunk) => {
    const teachers = numbers.map((number) => teacher(number, n, image));
    return relationLoss({ image, text, logitScale: scale }, teachers, { chunk });
  };

const matching =
  (choice: NegativeChoice, grouped: boolean): Loss =>
  ({ image, text, matcher }, n) =>
    pairMatchingLoss(
      { image, text },
      {
        choice,
        groups: grouped ? groups(n) : undefined,
        match: (x, y) =>
          add(sum(mul(mul(x, y), narrow(matcher, 0, 0, 6)), { dim: 1 }), narrow(matcher, 0, 6, 1)),
      },
    );

const losses: Readonly<Record<string, Loss>> = {
  feature: ({ image }, n) => featureLoss(image, teacher(1, n, image).image),
  relation: relation(2),
  relations: relation(1, 2),
  relation_open_clip: relation(1),
  interactive: ({ image, text, scale }, n, chunk) =>
    interactiveLoss({ image, text, logitScale: scale }, teacher(1, n, image), { chunk }),
  interactive_groups: ({ image, text, scale }, n, chunk) =>
    interactiveLoss({ image, text, logitScale: scale }, teacher(1, n, image), {
      groups: groups(n),
      chunk,
    }),
  matching_hardest: matching('hardest', false),
  matching_hardest_groups: matching('hardest', true),
  matching_assignment: matching('assignment', false),
  matching_assignment_groups: matching('assignment', true),
};

for (const [name, loss] of Object.entries(losses)) {
  describeLoss({
    name,
    reference,
    batches,
    chunks: /^(relation|interactive)/.test(name) ? [undefined, 3] : [undefined],
    inputs: (n) => ({
      image: firstRows(reference, 'image', n),
      text: firstRows(reference, 'text', n),
      scale: full([], 12),
      matcher: find(reference, 'matcher'),
    }),
    loss,
  });
}

describe('hardNegatives', () => {
  it("are the reference's", () => {
    for (const choice of ['hardest', 'assignment'] as const) {
      for (const grouped of [false, true]) {
        for (const n of batches) {
          scope(() => {
            const { image, text } = hardNegatives(
              { image: firstRows(reference, 'image', n), text: firstRows(reference, 'text', n) },
              { choice, groups: grouped ? groups(n) : undefined },
            );
            const name = `pairs.${choice}.${n}${grouped ? '.groups' : ''}`;
            const pairs = find(reference, name).toArray();
            assert.deepEqual([...image.toArray(), ...text.toArray()], pairs, name);
          });
        }
      }
    }
  });
});
