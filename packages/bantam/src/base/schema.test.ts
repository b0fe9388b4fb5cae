import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as v from 'valibot';
import { BantamError, UsageError } from './errors.js';
import {
  count,
  flag,
  fraction,
  group,
  listOf,
  oneOf,
  positive,
  read,
  readSettings,
  setting,
  tagged,
  text,
  tupleOf,
  type AnySchema,
} from './schema.js';

const layers = group({
  width: setting(count(), 64, 'Width of the tower.'),
  depths: setting(tupleOf(count(), 2), [1, 2], 'Blocks of each stage.'),
});

const model = group({
  name: text(),
  lr: setting(positive(), 1e-3, 'Peak learning rate.'),
  warmup: setting(fraction(), 0.1, 'Fraction of the budget.'),
  pool: setting(oneOf('token', 'mean'), 'token', 'Pooling.'),
  ema: setting(v.nullable(count()), null, 'Steps, or null.'),
  vision: setting(layers, {}, 'Image tower.'),
  bias: setting(flag(), true, 'Whether layers have a bias.'),
  freeze: setting(listOf(text()), [], 'Patterns.'),
});

function message(schema: AnySchema, value: unknown): string {
  try {
    read(schema, value, { where: 'the model' });
  } catch (error) {
    assert.ok(error instanceof BantamError);
    return error.message;
  }
  throw new Error('The value was accepted.');
}

describe('read', () => {
  it('fills in defaults, in nested groups as well', () => {
    assert.deepEqual(read(model, { name: 'a', vision: { width: 8 } }, { where: 'the model' }), {
      name: 'a',
      lr: 1e-3,
      warmup: 0.1,
      pool: 'token',
      ema: null,
      vision: { width: 8, depths: [1, 2] },
      bias: true,
      freeze: [],
    });
  });

  const wrong: readonly (readonly [string, unknown, string])[] = [
    [
      'an unknown member by the nearest known one',
      { name: 'a', lrr: 1 },
      'the model has no setting "lrr" (did you mean "lr"?).',
    ],
    [
      'an unknown member of a nested group',
      { name: 'a', vision: { widht: 1 } },
      '"vision" of the model has no setting "widht" (did you mean "width"?).',
    ],
    ['a missing member with its type', {}, 'the model lacks "name", a string.'],
    [
      'a number out of range',
      { name: 'a', lr: 0 },
      '"lr" of the model is 0; it must be a number above 0.',
    ],
    [
      'a value that is not finite',
      { name: 'a', lr: Infinity },
      '"lr" of the model is Infinity; it must be a number above 0.',
    ],
    [
      'a name that is none of the alternatives',
      { name: 'a', pool: 'max' },
      '"pool" of the model is "max"; it must be "token" or "mean".',
    ],
    [
      'an item of a list by its number',
      { name: 'a', vision: { depths: [1, 0] } },
      'item 2 of "depths" of "vision" of the model is 0; it must be a whole number of at least 1.',
    ],
    [
      'a list of another length',
      { name: 'a', vision: { depths: [1] } },
      '"depths" of "vision" of the model is [1]; it must be a list of 2 items.',
    ],
    [
      'a group that is none',
      { name: 'a', vision: 3 },
      '"vision" of the model is 3; it must be an object of settings.',
    ],
    ['a whole value of another type', 7, 'the model must be an object of settings.'],
  ];
  for (const [title, value, expected] of wrong) {
    it(`names ${title}`, () => {
      assert.equal(message(model, value), expected);
    });
  }

  it('names the tags of a union', () => {
    const loss = v.variant('type', [
      group({ type: v.literal('softmax') }),
      group({ type: v.literal('sigmoid'), bias: setting(count(), 1, 'Bias.') }),
    ]);
    assert.equal(
      message(loss, { type: 'hinge' }),
      '"type" of the model is "hinge"; it must be "softmax" or "sigmoid".',
    );
    assert.equal(message(loss, {}), 'the model lacks "type", "softmax" or "sigmoid".');
    assert.match(message(loss, { type: 'sigmoid', bas: 1 }), /did you mean "bias"/);
    // Only of its own option's members.
    assert.equal(message(loss, { type: 'softmax', bias: 1 }), 'the model has no setting "bias".');
  });

  it('refuses lists in place of groups, nested ones as well', () => {
    const optional = group({
      inner: setting(group({ on: setting(flag(), true, 'On.') }), {}, 'Inner.'),
    });
    assert.throws(() => read(optional, [], { where: 'outer' }), {
      name: 'BantamError',
      message: 'outer must be an object of settings.',
    });
    assert.throws(() => read(optional, { inner: [] }, { where: 'outer' }), {
      message: '"inner" of outer is []; it must be an object of settings.',
    });
  });

  it('throws the given class of error', () => {
    assert.throws(() => read(model, {}, { where: 'x', error: UsageError }), UsageError);
  });
});

describe('tagged', () => {
  const loss = tagged([
    group({ type: v.literal('softmax'), chunk: setting(count(), 8, 'Rows.') }),
    group({ type: v.literal('sigmoid'), bias: setting(positive(), 1, 'Bias.') }),
  ]);
  const settings = group({ loss: setting(loss, 'softmax', 'Loss.') });
  const readIt = (value: unknown) => readSettings(settings, value, { error: UsageError });

  it('takes a name alone for the defaults of its group', () => {
    assert.deepEqual(readIt({}), { loss: { type: 'softmax', chunk: 8 } });
    assert.deepEqual(readIt({ loss: 'sigmoid' }), { loss: { type: 'sigmoid', bias: 1 } });
    assert.deepEqual(readIt({ loss: { type: 'softmax', chunk: 2 } }), {
      loss: { type: 'softmax', chunk: 2 },
    });
  });

  for (const [title, value, expected] of [
    [
      'an unknown name',
      'hinge',
      `The setting 'loss' is "hinge"; it must be "softmax" or "sigmoid".`,
    ],
    [
      'an unknown type',
      { type: 'hinge' },
      `The setting 'loss.type' is "hinge"; it must be "softmax" or "sigmoid".`,
    ],
    [
      'a missing type',
      { chunk: 1 },
      `The setting 'loss.type' is missing; it must be "softmax" or "sigmoid".`,
    ],
    [
      "another group's member",
      { type: 'sigmoid', chunk: 1 },
      `There is no setting 'loss.chunk' (did you mean "loss.type"?).`,
    ],
    [
      'a refused value',
      { type: 'softmax', chunk: 0 },
      `The setting 'loss.chunk' is 0; it must be a whole number of at least 1.`,
    ],
  ] as const) {
    it(`names ${title} by its path`, () => {
      assert.throws(() => readIt({ loss: value }), { name: 'UsageError', message: expected });
    });
  }
});
