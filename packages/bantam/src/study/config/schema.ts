/** The declaration of a study: what is varied, what is held equal, what is measured. */
import type { JsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import type { DeepReadonly } from '../../base/readonly.js';
import {
  described,
  group,
  index,
  listOf,
  oneOf,
  positive,
  setting,
  text,
} from '../../base/schema.js';
import { jsonSchemaOf, runSchema, strategySchema } from '../../train/index.js';

/** Options of a run that a study does not set itself. */
export const sharedRunSchema = group(v.omit(runSchema, ['data', 'budget', 'seed']).entries);

const fractionWanted = 'a fraction above 0 and at most 1';
const keptFraction = v.pipe(
  v.number(fractionWanted),
  v.gtValue(0, fractionWanted),
  v.maxValue(1, fractionWanted),
);

const variantSchema = group({
  name: described(text(), 'Name of the variant in tables.'),
  run: described(sharedRunSchema, 'Options of a run that it changes.'),
});

const axesSchema = group({
  quantity: v.exactOptional(
    described(
      listOf(keptFraction),
      'Fractions of the data, chosen at random by the seed of the run; smaller ones are parts of larger.',
    ),
  ),
  quality: v.exactOptional(
    described(listOf(keptFraction), 'Fractions of the data with the highest score of `scores`.'),
  ),
  model: v.exactOptional(described(listOf(text()), 'Model presets.')),
  strategy: v.exactOptional(
    described(listOf(strategySchema), 'Strategies: names, or settings with their type.'),
  ),
  augment: v.exactOptional(
    described(listOf(v.unwrap(runSchema.entries.augment)), 'Augmentations of the images.'),
  ),
  variants: v.exactOptional(
    described(listOf(variantSchema), 'Named changes of any other options of a run.'),
  ),
  lr: v.exactOptional(described(listOf(positive()), 'Peak learning rates.')),
});

const gridSchema = group({
  name: described(text(), 'Name of the grid in tables and figures.'),
  axes: setting(axesSchema, {}, 'Values that are varied; every combination is an arm.'),
  epochs: v.exactOptional(
    described(listOf(positive()), 'Passes over the data of the arm. A grid has these or `budget`.'),
  ),
  budget: v.exactOptional(
    described(
      listOf(text()),
      'Costs that are held equal: samples (100ksamples), FLOPs (1e14flops) or time (60s) of each run.',
    ),
  ),
  baseline: v.exactOptional(
    described(text(), 'Name of the arm that others are compared with. Default: the first.'),
  ),
});

const measureSchema = group({
  name: described(text(), 'Name of the data in tables.'),
  data: described(text(), 'Source specification of the test data.'),
  kind: v.exactOptional(
    described(
      oneOf('in-distribution', 'held-out classes', 'out-of-distribution'),
      'How they relate to the training data; the report plots the last against the first.',
    ),
  ),
  metrics: described(listOf(text()), 'Metrics, as evaluation names them.'),
  labels: v.exactOptional(
    described(text(), 'Classification that metrics are of, if the data have several.'),
  ),
  train: v.exactOptional(described(text(), 'Probes: training images. Default: a split.')),
  validation: v.exactOptional(described(text(), 'Probes: validation images. Default: a split.')),
});

const tuneSchema = group({
  lr: described(listOf(positive()), 'Peak learning rates that every arm is tried with.'),
  data: described(text(), 'Source specification of the validation data, not those of `measure`.'),
  metric: described(text(), 'Metric by which the learning rate is chosen.'),
});

const scoresSchema = group({
  file: described(text(), 'Score file that "bantam data score" wrote.'),
  score: described(text(), 'The score in it, such as similarity.'),
});

/** The options of a study, as its file and {@link runStudy} take them. */
export const studySchema = group({
  $schema: v.exactOptional(described(text(), 'JSON Schema of this file, for editors.')),
  name: described(text(), 'Name of the study.'),
  data: described(text(), 'Source specification of the training data.'),
  run: setting(sharedRunSchema, {}, 'Options that all runs have, as train() takes them.'),
  seeds: setting(listOf(index()), [0, 1, 2], 'Seeds of the runs of every arm, which pair them.'),
  grids: described(listOf(gridSchema), 'Comparisons: each a product of its axes.'),
  measure: described(listOf(measureSchema), 'Data and metrics that every model is measured by.'),
  scores: v.exactOptional(described(scoresSchema, 'Scores behind the axis `quality`.')),
  tune: v.exactOptional(
    described(
      tuneSchema,
      'Search for the learning rate of each arm, on its first seed. Default: no search.',
    ),
  ),
  keep: setting(
    oneOf('results', 'model', 'checkpoints'),
    'model',
    'Files of a finished run beside its results that are kept: none, its model, or its last checkpoint as well.',
  ),
});

/** The options of a study; absent ones have their defaults. */
export type StudyOptions = DeepReadonly<v.InferInput<typeof studySchema>>;

/** The parts of {@link StudyOptions}. */
export type GridOptions = StudyOptions['grids'][number];
export type MeasureEntry = StudyOptions['measure'][number];
export type TuneOptions = NonNullable<StudyOptions['tune']>;
/** Options of a run that all runs, or a variant, have. */
export type SharedRunOptions = NonNullable<StudyOptions['run']>;

/** How the measured data relate to the training data. */
export type MeasureKind = NonNullable<MeasureEntry['kind']>;

/** A JSON Schema of a study's file, by which editors complete and check it. */
export function studyJsonSchema(): JsonSchema {
  return { ...jsonSchemaOf(studySchema), title: 'A Bantam study' };
}
