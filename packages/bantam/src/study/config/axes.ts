/** The arms of a grid: every combination of the values of its axes. */
import { BantamError, UsageError } from '../../base/errors.js';
import { didYouMean } from '../../base/did-you-mean.js';
import { isObject } from '../../base/schema.js';
import { parseBudget } from '../../train/index.js';
import type { GridOptions, SharedRunOptions, StudyOptions } from './schema.js';

/** Names of the axes, in the order in which arms are named. */
export const axisNames = [
  'quantity',
  'quality',
  'model',
  'strategy',
  'augment',
  'variants',
  'lr',
  'epochs',
  'budget',
] as const;
export type AxisName = (typeof axisNames)[number];

/** A value of an axis. */
export interface AxisValue {
  /** For people, such as `25 %` or `4 epochs`. */
  readonly label: string;
  /** Position on a numeric axis; the amount of a budget in its unit. */
  readonly number?: number;
}

/** One combination of values, which is trained with every seed. */
export interface Arm {
  /** Name of its grid. */
  readonly grid: string;
  /** Labels of the values that vary in the grid; the grid's name if none does. */
  readonly name: string;
  readonly values: Readonly<Partial<Record<AxisName, AxisValue>>>;
  /** Options of its runs; a learning rate that is tuned is not among them. */
  readonly options: SharedRunOptions;
  /** Fraction of the data by random choice, and before it by score. */
  readonly quantity: number;
  readonly quality: number;
  /** Passes over its data, or the budget in text. */
  readonly cost: { readonly epochs: number } | { readonly budget: string };
}

/** A grid with its arms. */
export interface Grid {
  readonly name: string;
  readonly arms: readonly Arm[];
  /** The arm that others are compared with. */
  readonly baseline: Arm;
  /** Axes with more than one value. */
  readonly varied: readonly AxisName[];
}

/** A value of an axis and its effect on an arm. */
interface Choice {
  readonly axis: AxisName;
  readonly value: AxisValue;
  readonly apply: (arm: Arm) => Arm;
}

/** All arms of a study, by grid. */
export function gridsOf(study: StudyOptions): Grid[] {
  const names = study.grids.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) {
    throw new UsageError(`Two grids are named "${twice}"; give each a name of its own.`);
  }
  if (names.length === 0) throw new UsageError('A study needs a grid; add one to "grids".');
  return study.grids.map((grid) => gridOf(grid, study));
}

function gridOf(grid: GridOptions, study: StudyOptions): Grid {
  const { name, epochs, budget, baseline } = grid;
  if ((epochs === undefined) === (budget === undefined)) {
    throw new UsageError(
      `The grid "${name}" needs either "epochs" or "budget": passes over the data of each arm, or a cost that is held equal.`,
    );
  }
  const { axes = {} } = grid;
  if (axes.quality !== undefined && study.scores === undefined) {
    throw new UsageError(
      `The axis "quality" of the grid "${name}" needs "scores": a file of "bantam data score", and a score in it.`,
    );
  }
  if (axes.lr !== undefined && study.tune !== undefined) {
    throw new UsageError(
      `The grid "${name}" varies the learning rate, which "tune" chooses; leave out one of them.`,
    );
  }
  const lists = choicesOf(grid);
  const empty = lists.find(({ choices }) => choices.length === 0);
  if (empty !== undefined) {
    throw new UsageError(`The axis "${empty.axis}" of the grid "${name}" has no values.`);
  }
  const varied = lists.filter(({ choices }) => choices.length > 1).map(({ axis }) => axis);
  const start: Arm = {
    grid: name,
    name: '',
    values: {},
    options: study.run ?? {},
    quantity: 1,
    quality: 1,
    cost: { epochs: 1 },
  };
  const arms = lists
    .reduce(
      (before, { choices }) => before.flatMap((arm) => choices.map((one) => chosen(arm, one))),
      [start],
    )
    .map((arm) => ({ ...arm, name: nameOf(arm, varied) }));
  const twice = arms.find((arm, i) => arms.findIndex((other) => other.name === arm.name) < i);
  if (twice !== undefined) {
    throw new UsageError(
      `Two arms of the grid "${name}" are named "${twice.name}"; use variants with names of their own.`,
    );
  }
  return { name, arms, baseline: baselineOf(arms, { name, baseline }), varied };
}

function chosen(arm: Arm, { axis, value, apply }: Choice): Arm {
  const applied = apply(arm);
  return { ...applied, values: { ...applied.values, [axis]: value } };
}

function nameOf({ grid, values }: Arm, varied: readonly AxisName[]): string {
  const labels = axisNames
    .filter((axis) => varied.includes(axis))
    .flatMap((axis) => values[axis]?.label ?? []);
  return labels.length === 0 ? grid : labels.join(', ');
}

function baselineOf(
  arms: readonly Arm[],
  { name, baseline }: { name: string; baseline: string | undefined },
): Arm {
  const [first] = arms;
  if (first === undefined) throw new BantamError(`The grid "${name}" has no arms.`);
  const found = baseline === undefined ? first : arms.find((arm) => arm.name === baseline);
  if (found !== undefined) return found;
  const known = arms.map((arm) => arm.name);
  throw new UsageError(
    `The grid "${name}" has no arm "${baseline ?? ''}" for its baseline${didYouMean(baseline ?? '', known)}; its arms are ${known.join('; ')}.`,
  );
}

interface AxisChoices {
  readonly axis: AxisName;
  readonly choices: readonly Choice[];
}

function choicesOf({ name, axes = {}, epochs, budget }: GridOptions): AxisChoices[] {
  const passes = budget?.find((cost) => /epochs?$/i.test(cost.trim()));
  if (passes !== undefined) {
    throw new UsageError(
      `The budget '${passes}' of the grid "${name}" is no equal cost where data differ; give passes over the data of each arm in "epochs".`,
    );
  }
  const lists: AxisChoices[] = [];
  const add = <T>(
    axis: AxisName,
    values: readonly T[] | undefined,
    describe: (value: T) => Omit<Choice, 'axis'>,
  ): void => {
    if (values === undefined) return;
    lists.push({ axis, choices: values.map((value) => ({ axis, ...describe(value) })) });
  };
  add('quantity', axes.quantity, (quantity) => ({
    value: { label: percent(quantity), number: quantity },
    apply: (arm) => ({ ...arm, quantity }),
  }));
  add('quality', axes.quality, (quality) => ({
    value: { label: `top ${percent(quality)}`, number: quality },
    apply: (arm) => ({ ...arm, quality }),
  }));
  add('model', axes.model, (model) => ({
    value: { label: model },
    apply: withOptions({ model }),
  }));
  add('strategy', axes.strategy, (strategy) => ({
    value: { label: labelOf(strategy) },
    apply: withOptions({ strategy }),
  }));
  add('augment', axes.augment, (augment) => ({
    value: { label: typeof augment === 'string' ? augment : augment.map(labelOf).join(' + ') },
    apply: withOptions({ augment }),
  }));
  add('variants', axes.variants, ({ name: label, run }) => ({
    value: { label },
    apply: withOptions(run),
  }));
  add('lr', axes.lr, (lr) => ({
    value: { label: `lr ${lr}`, number: lr },
    apply: withOptions({ train: { lr } }),
  }));
  add('epochs', epochs, (count) => ({
    value: { label: `${count} ${count === 1 ? 'epoch' : 'epochs'}`, number: count },
    apply: (arm) => ({ ...arm, cost: { epochs: count } }),
  }));
  add('budget', budget, (cost) => ({
    value: { label: cost, number: parseBudget(cost).amount },
    apply: (arm) => ({ ...arm, cost: { budget: cost } }),
  }));
  return lists;
}

function withOptions(changes: SharedRunOptions): (arm: Arm) => Arm {
  return (arm) => ({ ...arm, options: mergeOptions(arm.options, changes) });
}

/**
 * Options with changes: groups of settings are merged, everything else is replaced; so is a strategy
 * of another type.
 */
export function mergeOptions(
  options: SharedRunOptions,
  changes: SharedRunOptions,
): SharedRunOptions {
  const { train, tokenizer, validation, init, preprocess, ...whole } = changes;
  return {
    ...options,
    ...whole,
    ...(train && { train: { ...options.train, ...train } }),
    ...(tokenizer && { tokenizer: { ...options.tokenizer, ...tokenizer } }),
    ...(validation && { validation: { ...options.validation, ...validation } }),
    ...(init && { init: { ...options.init, ...init } }),
    ...(preprocess && { preprocess: { ...options.preprocess, ...preprocess } }),
  };
}

/** `flip` or `flip maskRatio 0.75`. */
function labelOf(value: unknown): string {
  if (!isObject(value)) return String(value);
  const { type, op, ...settings } = value;
  const parts = Object.entries(settings).map(
    ([name, one]) => `${name} ${typeof one === 'string' ? one : JSON.stringify(one)}`,
  );
  return [String(type ?? op), ...parts].join(' ');
}

function percent(fraction: number): string {
  return `${Number((100 * fraction).toPrecision(4))} %`;
}
