import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Suite, SuiteDataset } from './suite-schema.js';

/** A suite over data sets in clip_benchmark's layout below a folder. */
export type BuiltInSuite = (root: string) => Promise<Suite>;

/** A data set of DataComp's list: name, chance level of its main metric, and what differs. */
interface Entry {
  readonly name: string;
  readonly chance?: number;
  readonly metric?: string;
  readonly tags?: readonly string[];
  readonly groups?: readonly string[];
  /** Names of the values of `.npy` members, as those of DataComp's evaluators (`eval_utils`). */
  readonly npy?: string;
  readonly shiftOf?: string;
  readonly retrieval?: true;
  readonly associations?: true;
  readonly get?: string;
}

const perClass = 'mean_per_class_recall';
const natural = ['vtab'];
const shifts = ['imagenet-shifts'];

/**
 * The 38 data sets of DataComp (Gadre et al. 2023) with their main metrics and empirical chance levels,
 * from `tasklist.yml` of mlfoundations/datacomp; the chance of retrieval is computed.
 */
const datacomp: readonly Entry[] = [
  { name: 'imagenet1k', chance: 0.001 },
  { name: 'imagenet_sketch', chance: 0.001, tags: shifts },
  { name: 'imagenetv2', chance: 0.001, tags: shifts },
  { name: 'imagenet-a', chance: 0.008056, tags: shifts },
  { name: 'imagenet-o', chance: 0.006047, tags: shifts },
  { name: 'imagenet-r', chance: 0.006163, tags: shifts },
  { name: 'objectnet', chance: 0.009481, tags: shifts },
  { name: 'vtab/caltech101', chance: 0.009804, metric: perClass, tags: natural },
  { name: 'vtab/cifar100', chance: 0.01, tags: natural },
  { name: 'vtab/clevr_count_all', chance: 0.125061, tags: natural },
  { name: 'vtab/clevr_closest_object_distance', chance: 0.19052, tags: natural },
  { name: 'vtab/dtd', chance: 0.021277, tags: natural },
  { name: 'vtab/eurosat', chance: 0.101483, tags: natural },
  { name: 'vtab/flowers', chance: 0.009804, metric: perClass, tags: natural },
  { name: 'vtab/kitti_closest_vehicle_distance', chance: 0.295289, tags: natural },
  { name: 'vtab/pcam', chance: 0.5, tags: natural },
  { name: 'vtab/pets', chance: 0.027027, metric: perClass, tags: natural },
  { name: 'vtab/resisc45', chance: 0.022342, tags: natural },
  { name: 'vtab/svhn', chance: 0.117897, tags: natural },
  { name: 'sun397', chance: 0.004645, tags: natural },
  { name: 'cars', chance: 0.00516 },
  { name: 'cifar10', chance: 0.1 },
  { name: 'country211', chance: 0.004739 },
  { name: 'fgvc_aircraft', chance: 0.01, metric: perClass },
  { name: 'food101', chance: 0.009901 },
  { name: 'gtsrb', chance: 0.037604 },
  { name: 'mnist', chance: 0.10035 },
  { name: 'renderedsst2', chance: 0.500001 },
  { name: 'stl10', chance: 0.1 },
  { name: 'voc2007', chance: 0.154038 },
  { name: 'wilds/camelyon17', chance: 0.5, npy: 'hospital,slide,y' },
  {
    name: 'wilds/fmow',
    chance: 0.027193,
    metric: 'acc_worst_region',
    groups: ['region'],
    // The names are WILDS': its metric leaves out the region Other.
    npy: 'region:Asia|Europe|Africa|Americas|Oceania|Other,year,y',
  },
  {
    name: 'wilds/iwildcam',
    chance: 0.143056,
    metric: 'F1-macro_all',
    npy: 'location,sequence,year,month,day,hour,minute,second,y',
  },
  {
    name: 'fairness/dollar_street',
    metric: 'acc_top5_worst_income_ds',
    groups: ['income_ds'],
    npy: 'income_ds,income_meta,region',
    get: 'dollar_street',
  },
  {
    name: 'fairness/geode',
    metric: 'acc_worst_region',
    groups: ['region'],
    npy: 'region,country',
    get: 'geode',
  },
  {
    name: 'retrieval/flickr30k',
    retrieval: true,
    tags: ['retrieval'],
    get: 'flickr_1k_test_image_text_retrieval',
  },
  {
    name: 'retrieval/mscoco_2014_5k_test',
    retrieval: true,
    tags: ['retrieval'],
    get: 'mscoco_2014_5k_test_image_text_retrieval',
  },
  {
    name: 'misc/winogavil',
    chance: 0.205,
    metric: 'jaccard_score_10-12',
    associations: true,
    tags: ['retrieval'],
    get: 'winogavil',
  },
];

/** The 19 tasks of VTAB (Zhai et al. 2019) by CLIP_benchmark's names. */
const vtab: readonly Entry[] = [
  ...datacomp.filter(({ name }) => name.startsWith('vtab/')),
  { name: 'sun397' },
  { name: 'vtab/diabetic_retinopathy' },
  { name: 'vtab/dmlab' },
  { name: 'vtab/dsprites_label_orientation' },
  { name: 'vtab/dsprites_label_x_position' },
  { name: 'vtab/smallnorb_label_azimuth' },
  { name: 'vtab/smallnorb_label_elevation' },
];

/** ImageNet and the shifts of Taori et al. 2020 and Hendrycks et al. that the papers report. */
const imagenetShifts: readonly Entry[] = datacomp
  .filter(({ name }) => name === 'imagenet1k' || /^(?:imagenet[_v-](?!o)|objectnet)/.test(name))
  .map((entry) => (entry.name === 'imagenet1k' ? entry : { ...entry, shiftOf: 'imagenet1k' }));

/** The suites by name. */
export const builtInSuites = {
  datacomp: suiteOf('datacomp', datacomp),
  vtab: suiteOf('vtab', vtab),
  'imagenet-shifts': suiteOf('imagenet-shifts', imagenetShifts),
} as const satisfies Readonly<Record<string, BuiltInSuite>>;

function suiteOf(name: string, entries: readonly Entry[]): BuiltInSuite {
  return (root) =>
    Promise.resolve({
      name,
      protocols: ['openclip', 'karpathy'],
      datasets: entries.map((entry) => datasetOf(entry, root)),
    });
}

function datasetOf(entry: Entry, root: string): SuiteDataset {
  const { name, retrieval, associations, get, npy, ...facts } = entry;
  const query = npy === undefined ? '' : `?npy=${npy}`;
  const flat = name.replaceAll('/', '-');
  const short = get ?? flat;
  const folder = foldersOf(flat, short).find((candidate) => existsSync(join(root, candidate)));
  const own = join('{root}', folder ?? `wds_${flat}`);
  const trainFolder = folder === undefined ? undefined : join(root, folder, 'train');
  return {
    name,
    data: `wds:${own}${query}`,
    ...(trainFolder !== undefined &&
      existsSync(trainFolder) && { train: `wds:${own}/train${query}` }),
    ...facts,
    tasks: retrieval ? ['retrieval'] : associations ? ['associations'] : ['zero-shot'],
    ...(associations && { associations: join(own, 'associations.jsonl') }),
    metric: facts.metric ?? (retrieval ? 'mean_recall@1' : 'acc1'),
    get: `shards in CLIP_benchmark's layout: clip_benchmark_export_wds, or the data set clip-benchmark/wds_${short} of Hugging Face, as the folder wds_${short} of the root`,
  };
}

/** Names of a data set's folder: CLIP_benchmark's, DataComp's download, the plain name. */
function foldersOf(flat: string, short: string): string[] {
  return [...new Set([flat, short])].flatMap((name) => [`wds_${name}`, `wds_${name}_test`, name]);
}
