import * as v from 'valibot';
import { count, described, flag, group, listOf, oneOf, positive, text } from '../../base/schema.js';
import { imagenetSets } from '../protocols/imagenet.js';
import { fewShotMethods } from '../probes/few-shot.js';
import { probeLayers } from '../probes/probe-set.js';
import { evalTasks } from '../tasks/result.js';

const tasks = listOf(oneOf(...evalTasks));
const templates = v.union([text(), listOf(text())], 'a name of a list, or a list of prompts');

const probeSchema = group({
  layer: v.exactOptional(
    described(oneOf(...probeLayers), 'Vectors that probes are trained on. Default representation.'),
  ),
  normalize: v.exactOptional(described(flag(), 'Scales each vector to length 1. Default false.')),
  c: v.exactOptional(
    described(positive(), "Linear probe: scikit-learn's C, instead of the search."),
  ),
  shots: v.exactOptional(described(listOf(count()), 'Few-shot. Default 1, 5, 10, 25.')),
  method: v.exactOptional(described(oneOf(...fewShotMethods), 'Few-shot. Default ridge.')),
  neighbours: v.exactOptional(
    described(listOf(count()), 'Nearest neighbours. Default 10, 20, 100, 200.'),
  ),
});

const datasetSchema = group({
  name: described(text(), 'Name in tables and files.'),
  data: described(text(), 'Source specification of the test images; {root} is the root folder.'),
  train: v.exactOptional(
    described(text(), 'Probes: training images. Default: a split of the data.'),
  ),
  validation: v.exactOptional(described(text(), 'Probes: validation images. Default: a split.')),
  tasks: v.exactOptional(described(tasks, "Tasks of this data set. Default: the suite's.")),
  templates: v.exactOptional(described(templates, "Prompt templates. Default: the data's own.")),
  classes: v.exactOptional(
    described(oneOf(...imagenetSets), "ImageNet's classes to choose among."),
  ),
  groups: v.exactOptional(
    described(listOf(text()), 'Fields of the metadata to group accuracy by.'),
  ),
  associations: v.exactOptional(described(text(), 'WinoGAViL: file of cues and associations.')),
  metric: v.exactOptional(described(text(), 'Main metric, for averages. Default: by the task.')),
  shiftOf: v.exactOptional(
    described(text(), 'Data set of the suite that this one is a shift of: effective robustness.'),
  ),
  chance: v.exactOptional(
    described(v.number('a number'), 'Published chance level of that metric.'),
  ),
  tags: v.exactOptional(described(listOf(text()), 'Groups whose averages are reported.')),
  get: v.exactOptional(described(text(), 'How to get the data, shown where they are missing.')),
  probe: v.exactOptional(probeSchema),
});

export const suiteSchema = group({
  name: described(text(), 'Name of the suite.'),
  tasks: v.exactOptional(described(tasks, 'Tasks. Default zero-shot and retrieval.')),
  protocols: v.exactOptional(described(listOf(text()), 'Protocols. Default openclip and bantam.')),
  probe: v.exactOptional(probeSchema),
  datasets: described(listOf(datasetSchema), 'Data sets.'),
});

/** A list of data sets and what to measure on each. */
export type Suite = Readonly<v.InferOutput<typeof suiteSchema>>;

/** One data set of a suite. */
export type SuiteDataset = Suite['datasets'][number];
