/** The data of a plan: the part that is trained on, and the part that choices are measured on. */
import { join } from 'node:path';
import { at } from '../../base/at.js';
import { BantamError, UsageError } from '../../base/errors.js';
import { mean } from '../../base/statistics.js';
import {
  hasOwnCaptions,
  heldOutKeys,
  openSource,
  photoAugment,
  samplesPerEpoch,
  splitByKeys,
  withSubset,
  writeSubset,
  type Source,
} from '../../data/index.js';
import {
  openValidator,
  retrievalChance,
  withClasses,
  type RetrievalChance,
} from '../../eval/index.js';
import { clipContextLength, trainedVocabSize, type Tokenizer } from '../../text/index.js';
import { dataFingerprint, prepareTokenizer, type DataFingerprint } from '../../train/index.js';
import { isLowerBetter, taskOfMetric } from '../config/metrics.js';
import type { CandidateFacts } from './candidates.js';
import { rankOf, type MeasuredOn } from './prior.js';

/** Data that choices are measured on. */
export interface PlanValidation extends MeasuredOn {
  /** Source specification. */
  readonly data: string;
  /** True for a part of the data that is not trained on. */
  readonly isHeldOut: boolean;
  /** Answers that the metric counts: images or texts. */
  readonly queries: number;
  /** Digest of its records. */
  readonly digest: string;
}

/** The opened data of a plan. */
export interface PlanData {
  /** Specification of what is trained on. */
  readonly train: string;
  readonly source: Source;
  /** Different image-text pairs. */
  readonly pairs: number;
  /** Digest of the data that are trained on: of all, and of the part that is held out of them. */
  readonly digest: string;
  /** Fingerprint of all data, with the part that is held out. */
  readonly fingerprint: DataFingerprint;
  readonly validation: PlanValidation;
  /** Why nothing can be measured, in a sentence; undefined: something can. */
  readonly unmeasurable: string | undefined;
  readonly candidateFacts: Omit<CandidateFacts, 'isScored' | 'models'>;
}

/** Options of {@link openPlanData}. */
export interface PlanDataOptions {
  readonly data: string;
  readonly metric: string | undefined;
  /** Validation data; `held-out`: a part of the data. */
  readonly validate: string;
  /** Classes in place of those of the validation data. */
  readonly classes: readonly string[] | undefined;
  /** Folder for the keys of both parts. */
  readonly folder: string;
}

/** Fraction of the records that is held out, but no fewer and no more records than so many. */
const heldOut = { fraction: 0.1, fewest: 100, most: 1000 } as const;

/** With fewer images a metric says nothing: a step of 2 points is one image of fifty. */
const fewestMeasured = 50;

/** Short names of metrics. */
const shortMetrics: Readonly<Record<string, string>> = {
  retrieval: 'image_retrieval_recall@10',
  'zero-shot': 'acc1',
};

/**
 * Opens the data of a plan and holds a part out, chosen by hashes of keys, so that it is the same for any
 * plan of these data.
 *
 * @throws UsageError for an unknown metric; BantamError for data that cannot be read, have no captions, or
 * lack the classes of the metric.
 */
export async function openPlanData(options: PlanDataOptions): Promise<PlanData> {
  const { data, validate, folder } = options;
  const whole = await openSource(data);
  requireCaptions(whole);
  const metric = metricOf(options.metric, whole);
  const others = validate === 'held-out' ? whole : await openSource(validate);
  requireClasses(others, { metric, classes: options.classes });
  const fingerprint = await dataFingerprint(whole);
  const { digest } = fingerprint;
  // A plan of other data in the same folder changes no part of this one.
  const parts = join(folder, digest.slice(0, 12));
  const kept = validate === 'held-out' ? await holdOut(whole, { data, folder: parts }) : null;
  const source = kept?.source ?? whole;
  const measured = kept?.validation ?? validate;
  const isMeasurable = kept !== null || validate !== 'held-out';
  const { classes } = options;
  const validation = isMeasurable
    ? await openValidation(measured, { metric, isHeldOut: kept !== null, classes })
    : { data: '', isHeldOut: true, digest, ...factsOf(whole, { metric, classes }) };
  const unmeasurable = !isMeasurable
    ? `The data have ${whole.size} records, too few to hold out ${fewestMeasured} to measure on; name validation data with --validate SPEC.`
    : validation.images < fewestMeasured
      ? `The ${validation.images} images of ${validation.data} are too few to tell runs apart; name at least ${fewestMeasured} with --validate SPEC.`
      : undefined;
  if (unmeasurable === undefined) requireDifference(validation, metric);
  return {
    train: kept?.train ?? data,
    source,
    pairs: source.size,
    digest: kept === null ? digest : `${digest}-${validation.digest}`,
    fingerprint,
    validation,
    unmeasurable,
    candidateFacts: await candidateFacts(source, metric),
  };
}

/** @throws BantamError for data without captions. */
function requireCaptions(source: Source): void {
  if (source.record(0).captions.length > 0) return;
  throw new BantamError(
    `"${source.spec}" has no captions to train on; write them with "bantam data caption", put them beside the images, or take the names of files with ?caption=name.`,
  );
}

/**
 * Refuses a metric of classes before anything is held out or timed.
 *
 * @throws BantamError for data without classes, or given ones that lack some of theirs.
 */
function requireClasses(
  { spec, labelSets }: Source,
  { metric, classes }: { readonly metric: string; readonly classes: readonly string[] | undefined },
): void {
  if (taskOfMetric(metric) === 'retrieval') return;
  const sets = Object.values(labelSets);
  if (sets.length === 0) {
    throw new BantamError(
      `"${spec}" has no classes, so ${metric} cannot be measured on it; plan with --metric retrieval, or name data with classes with --validate SPEC.`,
    );
  }
  if (classes !== undefined) for (const set of sets) withClasses(set, classes);
}

/** @throws BantamError if guesses are all right, such as five of five classes. */
function requireDifference({ data, chance }: PlanValidation, metric: string): void {
  if (chance < 1) return;
  throw new BantamError(
    `Any model has 100 % of ${metric} on "${data}", which has too few classes or captions for it; plan with another --metric.`,
  );
}

/** The metric by its name or short name; by default accuracy where captions are names of classes, else retrieval. */
function metricOf(name: string | undefined, source: Source): string {
  const hasClasses = Object.keys(source.labelSets).length > 0;
  const usual = hasClasses && !hasOwnCaptions(source) ? 'zero-shot' : 'retrieval';
  const short = name ?? usual;
  const metric = shortMetrics[short] ?? short;
  taskOfMetric(metric);
  if (isLowerBetter(metric)) {
    throw new UsageError(
      `The planner maximises a fraction, and ${metric} is a rank; plan by image_retrieval_recall@10 or image_retrieval_mean_reciprocal_rank.`,
    );
  }
  return metric;
}

async function holdOut(
  source: Source,
  { data, folder }: Pick<PlanDataOptions, 'data' | 'folder'>,
): Promise<{
  readonly source: Source;
  readonly train: string;
  readonly validation: string;
} | null> {
  const records = source.grouping?.count ?? source.size;
  const wanted = Math.min(heldOut.most, Math.max(heldOut.fewest, heldOut.fraction * records));
  // At most a third of the data.
  const fraction = Math.min(1 / 3, wanted / records);
  const keys = await heldOutKeys(source, { fraction });
  if (keys.length < fewestMeasured || keys.length >= source.size) return null;
  const split = splitByKeys(source, keys);
  const header = (size: number) =>
    ({
      bantam: 'subset',
      format: 1,
      data,
      of: source.size,
      size,
      criteria: [{ type: 'held out' }],
      scores: [],
    }) as const;
  const [train, validation] = [join(folder, 'train.txt'), join(folder, 'held-out.txt')];
  const held = new Set(split.keys);
  const others = keysOf(source).filter((key) => !held.has(key));
  writeSubset(train, header(others.length), others);
  writeSubset(validation, header(split.keys.length), split.keys);
  return {
    source: split.kept,
    train: withSubset(data, train),
    validation: withSubset(data, validation),
  };
}

function keysOf(source: Source): string[] {
  return Array.from({ length: source.size }, (_, i) => source.record(i).key);
}

/** @throws BantamError for data that lack the metric. */
async function openValidation(
  data: string,
  {
    metric,
    isHeldOut,
    classes: given,
  }: {
    readonly metric: string;
    readonly isHeldOut: boolean;
    readonly classes: readonly string[] | undefined;
  },
): Promise<PlanValidation> {
  const task = taskOfMetric(metric);
  if ((task === 'zero-shot' && given === undefined) || task === 'retrieval') {
    await openValidator({ data, metric });
  }
  const source = await openSource(data);
  const { digest } = await dataFingerprint(source);
  return { data, isHeldOut, digest, ...factsOf(source, { metric, classes: given }) };
}

/** Facts of data that a metric is measured on. */
function factsOf(
  source: Source,
  {
    metric,
    classes: given,
  }: { readonly metric: string; readonly classes: readonly string[] | undefined },
): Pick<PlanValidation, 'images' | 'classes' | 'chance' | 'queries'> {
  const images = source.size;
  if (taskOfMetric(metric) === 'retrieval') {
    return { images, classes: 0, ...retrievalFacts(source, metric) };
  }
  const { length: classes } = given ?? at(Object.values(source.labelSets), 0).classes;
  const guesses = metric.endsWith('acc5') ? 5 : 1;
  return { images, classes, chance: Math.min(1, guesses / classes), queries: images };
}

/** Queries of a retrieval, and what guessing scores; equal captions are one text. */
function retrievalFacts(
  source: Source,
  metric: string,
): { readonly queries: number; readonly chance: number } {
  const texts = new Map<string, number>();
  for (let i = 0; i < source.size; i++) {
    const text = at(source.record(i).captions, 0);
    texts.set(text, (texts.get(text) ?? 0) + 1);
  }
  const images = retrievalChance(source.size, [...texts.values()]);
  const captions = retrievalChance(texts.size, new Array<number>(source.size).fill(1));
  const scoreOf = (guess: RetrievalChance): number => {
    const rank = rankOf(metric);
    return rank === undefined ? guess.meanReciprocalRank : guess.recall(rank);
  };
  if (metric.startsWith('image_')) return { queries: texts.size, chance: scoreOf(images) };
  if (metric.startsWith('text_')) return { queries: source.size, chance: scoreOf(captions) };
  return { queries: source.size, chance: (scoreOf(images) + scoreOf(captions)) / 2 };
}

/** Captions whose lengths are counted. */
const countedCaptions = 2000;

async function candidateFacts(
  source: Source,
  metric: string,
): Promise<Omit<CandidateFacts, 'isScored' | 'models'>> {
  const tokenizer = await prepareTokenizer(
    {
      tokenizer: {
        path: '',
        wrapper: 'auto',
        vocabSize: trainedVocabSize,
        contextLength: clipContextLength,
      },
      seed: 0,
    },
    source,
    undefined,
  );
  const lengths = captionLengths(source, tokenizer);
  const long = at(lengths, Math.floor(0.95 * (lengths.length - 1)));
  return {
    metric,
    samplesPerEpoch: samplesPerEpoch(source),
    // Nineteen of twenty captions are whole.
    contextLength: Math.min(clipContextLength, Math.max(8, 4 * Math.ceil(long / 4))),
    captionTokens: Math.round(mean(lengths)),
    hasOwnAugment: JSON.stringify(source.augment) !== JSON.stringify(photoAugment),
  };
}

/** Lengths of captions of evenly spaced records in tokens, ascending. */
function captionLengths(source: Source, tokenizer: Tokenizer): number[] {
  const step = Math.max(1, source.size / countedCaptions);
  const lengths: number[] = [];
  for (let position = 0; position < source.size; position += step) {
    for (const caption of source.record(Math.floor(position)).captions) {
      lengths.push(tokenizer.encode(caption).length);
    }
  }
  return lengths.sort((a, b) => a - b);
}
