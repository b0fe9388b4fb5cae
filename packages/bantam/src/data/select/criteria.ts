/** Criteria of subsets: one declaration gives types, defaults, checks and messages. */
import * as v from 'valibot';
import {
  atLeast,
  count,
  described,
  flag,
  group,
  index,
  listOf,
  oneOf,
  positive,
  setting,
  text,
  unitInterval,
} from '../../base/schema.js';

const seed = setting(index(), 0, 'Seed of the choice.');
const labels = v.optional(described(text(), 'Name of the classification; the first by default.'));
const by = v.optional(
  described(
    text(),
    'Score of which the highest are kept; a choice by seed, or the first, if absent.',
  ),
);

const top = group({
  type: v.literal('top'),
  scores: described(
    listOf(text()),
    'Scores to rank by: one, or several that must agree (the lowest of their percentile ranks counts).',
  ),
  fraction: described(unitInterval(), 'Fraction of the scored records.'),
  ties: setting(
    oneOf('key', 'keep'),
    'key',
    "Ties at the cut: exactly the fraction, by key; or DataComp's threshold, which keeps all.",
  ),
});

/** Comparisons of the criterion `where`. */
export const comparisonOperators = ['>=', '<=', '>', '<', '=', '!='] as const;

const where = group({
  type: v.literal('where'),
  score: described(text(), 'A score.'),
  is: described(oneOf(...comparisonOperators), 'Comparison.'),
  value: described(
    v.union([v.number(), v.string()], 'a number or a string'),
    'Value to compare with.',
  ),
});

const random = group({
  type: v.literal('random'),
  fraction: described(unitInterval(), 'Fraction of the records.'),
  seed,
});

const perClass = group({
  type: v.literal('per-class'),
  count: described(count(), 'Most records of a class.'),
  labels,
  by,
  seed,
});

const unique = group({
  type: v.literal('unique'),
  score: described(text(), '"phash", or a score that names the record which each one duplicates.'),
  distance: setting(index(), 4, 'Bits by which perceptual hashes of duplicates may differ.'),
  by,
});

const balanceCaptions = group({
  type: v.literal('balance-captions'),
  t: described(positive(), "MetaCLIP's threshold: matches of an entry that are kept."),
  entries: v.optional(
    described(text(), 'File with an entry per line; the words of the captions by default.'),
  ),
  ignoreCase: setting(flag(), true, 'Match entries whatever their case; MetaCLIP minds it.'),
  seed,
});

const subset = group({
  type: v.literal('subset'),
  file: described(text(), 'A subset file or a list of keys.'),
});

const dataCompBasic = group({
  type: v.literal('datacomp-basic'),
  language: setting(text(), 'en', 'Language of the captions.'),
  minSide: setting(atLeast(0), 200, 'Least shorter side in pixels.'),
});

const simple = [
  top,
  where,
  random,
  perClass,
  unique,
  balanceCaptions,
  subset,
  dataCompBasic,
] as const;

type SimpleSchema = (typeof simple)[number];

/** A criterion that refers to no others, as users write it. */
export type SimpleCriterionInput = Readonly<v.InferInput<SimpleSchema>>;

/** A criterion that refers to no others, with its defaults. */
export type SimpleCriterion = Readonly<v.InferOutput<SimpleSchema>>;

/** Records that all, or any, of some criteria choose. */
interface Several<C> {
  readonly type: 'all' | 'any';
  readonly of: readonly C[];
}

/** Records that a criterion does not choose. */
interface Complement<C> {
  readonly type: 'not';
  readonly of: C;
}

/** A set of records: a criterion, or a combination of criteria. */
export type CriterionInput =
  SimpleCriterionInput | Several<CriterionInput> | Complement<CriterionInput>;

/** {@link CriterionInput} with all defaults. */
export type Criterion = SimpleCriterion | Several<Criterion> | Complement<Criterion>;

/** Schema of criteria, to any depth. */
export const criterionSchema: v.GenericSchema<CriterionInput, Criterion> = v.lazy(() =>
  v.variant('type', [
    ...simple,
    group({ type: v.picklist(['all', 'any']), of: listOf(criterionSchema) }),
    group({ type: v.literal('not'), of: criterionSchema }),
  ]),
);
