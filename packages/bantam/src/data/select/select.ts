import { readFile } from 'node:fs/promises';
import { at } from '../../base/at.js';
import { didYouMean } from '../../base/did-you-mean.js';
import { BantamError, UsageError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { read } from '../../base/schema.js';
import type { Source } from '../sources/source.js';
import {
  balanceClasses,
  captionProbabilities,
  captionWords,
  EntryMatcher,
  sampleByProbability,
} from './balance.js';
import {
  criterionSchema,
  type Criterion,
  type CriterionInput,
  type SimpleCriterion,
} from './criteria.js';
import { uniformOfKey } from './key-hash.js';
import { bestOfGroups, groupByHash, groupByLeader } from './near-duplicates.js';
import { Pool, type Column, type ScoreTables } from './pool.js';
import { agreedScore, topFraction } from './ranking.js';
import { readSubset, type SubsetHeader } from './subset-file.js';

export interface SelectOptions {
  /** Score files that the criteria refer to, by prefix; see {@link ScoreTables}. */
  readonly scores?: ScoreTables;
  /** `all`: records must meet every criterion (the default); `any`: at least one. */
  readonly combine?: 'all' | 'any';
}

/** Records that criteria choose. */
export interface Subset {
  /** Origin, as a subset file keeps it. */
  readonly header: SubsetHeader;
  /** Chosen keys in the order of the source. */
  readonly keys: readonly string[];
  /** 1 for each chosen record of the source. */
  readonly mask: Uint8Array;
  /** How many records each criterion alone would keep. */
  readonly alone: readonly { readonly criterion: Criterion; readonly kept: number }[];
  readonly notes: readonly string[];
}

/**
 * Chooses records of a source. Each criterion is a set over the whole source, so their order does
 * not matter; to choose from what another choice left, select from `SPEC?subset=FILE`.
 *
 * @throws BantamError when a criterion is malformed, names a score that is not there, scores are of
 * other data, or no record is left.
 */
export async function selectSubset(
  source: Source,
  criteria: readonly CriterionInput[],
  { scores = {}, combine = 'all' }: SelectOptions = {},
): Promise<Subset> {
  if (criteria.length === 0) throw new UsageError('Selecting needs at least one criterion.');
  const complete = criteria.map((criterion, i) =>
    read(criterionSchema, criterion, { where: `criterion ${i + 1}` }),
  );
  const pool = Pool.of(source, scores);
  const masks: Uint8Array[] = [];
  for (const criterion of complete) masks.push(await maskOf(criterion, { source, pool }));
  const mask = combineMasks(masks, combine);
  const keys = pool.keys.filter((_, i) => mask[i] === 1);
  const alone = complete.map((criterion, i) => ({ criterion, kept: countOf(at(masks, i)) }));
  if (keys.length === 0) {
    const each = alone.map(({ criterion, kept }) => `${criterion.type}: ${kept}`).join(', ');
    throw new BantamError(
      `No record of ${pool.size} is left (kept by each criterion alone: ${each}); ask for less.`,
    );
  }
  const header: SubsetHeader = {
    bantam: 'subset',
    format: 1,
    data: source.spec,
    of: pool.size,
    size: keys.length,
    criteria: (combine === 'all' ? complete : [{ type: 'any', of: complete } as const]).map(
      (criterion) => ({ ...criterion }),
    ),
    scores: [...pool.headers],
  };
  return { header, keys, mask, alone, notes: pool.notes };
}

interface Context {
  readonly source: Source;
  readonly pool: Pool;
}

async function maskOf(criterion: Criterion, context: Context): Promise<Uint8Array> {
  switch (criterion.type) {
    case 'all':
    case 'any': {
      const masks: Uint8Array[] = [];
      for (const part of criterion.of) masks.push(await maskOf(part, context));
      return combineMasks(masks, criterion.type);
    }
    case 'not':
      return (await maskOf(criterion.of, context)).map((bit) => 1 - bit);
    default:
      return simpleMask(criterion, context);
  }
}

async function simpleMask(
  criterion: SimpleCriterion,
  { source, pool }: Context,
): Promise<Uint8Array> {
  const { keys } = pool;
  switch (criterion.type) {
    case 'top': {
      const scores = agreedScore(criterion.scores.map((name) => pool.numbers(name)));
      const { fraction, ties } = criterion;
      return topFraction(scores, { keys, fraction, ties });
    }
    case 'where':
      return compare(pool.column(criterion.score), criterion);
    case 'random': {
      const { fraction, seed } = criterion;
      const order = Float64Array.from(keys, (key) =>
        uniformOfKey(key, { seed, purpose: 'random subset' }),
      );
      return topFraction(order, { keys, fraction });
    }
    case 'per-class': {
      const { count, labels, by, seed } = criterion;
      const scores = by === undefined ? undefined : pool.numbers(by);
      return balanceClasses(labelsOf(source, labels), { keys, count, scores, seed });
    }
    case 'unique': {
      const { score, distance, by } = criterion;
      const column = pool.column(score);
      if (column.kind === 'numbers') {
        throw new BantamError(
          `The score "${score}" is a number; duplicates need "phash", or "duplicateOf" of a model.`,
        );
      }
      const leaders = /(^|\.)phash$/.test(score)
        ? groupByHash(column.values, { distance })
        : groupByLeader(keys, column.values);
      const scores = by === undefined ? undefined : pool.numbers(by);
      return bestOfGroups(leaders, { keys, scores });
    }
    case 'balance-captions': {
      const { t, entries, ignoreCase, seed } = criterion;
      const list =
        entries === undefined ? captionWords(captionsOf(source)) : await readEntries(entries);
      const matcher = new EntryMatcher(list, { ignoreCase });
      const { probabilities } = captionProbabilities(captionsOf(source), { matcher, t });
      return sampleByProbability(keys, { probabilities, seed });
    }
    case 'subset': {
      const { keys: chosen } = await readSubset(criterion.file);
      return Uint8Array.from(keys, (key) => (chosen.has(key) ? 1 : 0));
    }
    case 'datacomp-basic':
      return dataCompBasic(pool, criterion);
  }
}

/**
 * DataComp's basic filter (Gadre et al. 2023, arXiv 2304.14108, `baselines/apply_filter.py`):
 * captions of a language with more than 2 words and more than 5 characters, images with a shorter
 * side of at least 200 pixels and an aspect ratio of at most 3. The language is eld's opinion, not
 * fastText's.
 */
function dataCompBasic(
  pool: Pool,
  { language, minSide }: { language: string; minSide: number },
): Uint8Array {
  const rules = [
    ['language', '=', language],
    ['words', '>', 2],
    ['characters', '>', 5],
    ['width', '>=', minSide],
    ['height', '>=', minSide],
    ['aspect', '<=', 3],
  ] as const;
  const masks = rules.map(([score, is, value]) =>
    compare(pool.column(score), { score, is, value }),
  );
  return combineMasks(masks, 'all');
}

type Comparison = Pick<SimpleCriterion & { type: 'where' }, 'score' | 'is' | 'value'>;

/** 1 where a comparison holds; it never does for a missing score. */
function compare({ kind, values }: Column, { score, is, value }: Comparison): Uint8Array {
  if (kind === 'texts') {
    if (is !== '=' && is !== '!=') {
      throw new BantamError(
        `The score "${score}" is a text and has no order; compare it with = or !=.`,
      );
    }
    const wanted = String(value);
    return Uint8Array.from(values, (own) =>
      own !== undefined && (own === wanted) === (is === '=') ? 1 : 0,
    );
  }
  if (typeof value !== 'number') {
    throw new BantamError(`The score "${score}" is a number; compare it with one, not "${value}".`);
  }
  const holds = {
    '>=': (own: number) => own >= value,
    '<=': (own: number) => own <= value,
    '>': (own: number) => own > value,
    '<': (own: number) => own < value,
    '=': (own: number) => own === value,
    '!=': (own: number) => own !== value && !Number.isNaN(own),
  }[is];
  return Uint8Array.from(values, (own) => (holds(own) ? 1 : 0));
}

function labelsOf({ spec, labelSets }: Source, name: string | undefined): Int32Array {
  const names = Object.keys(labelSets);
  const [first] = names;
  if (first === undefined) {
    throw new BantamError(
      `"${spec}" has no classes to balance; name a column of labels, as in csv:FILE?label=COLUMN.`,
    );
  }
  const set = labelSets[name ?? first];
  if (set !== undefined) return set.labels;
  throw new BantamError(
    `"${spec}" has no classification "${name ?? ''}"${didYouMean(name ?? '', names)}; it has ${names.join(', ')}.`,
  );
}

function* captionsOf(source: Source): Generator<readonly string[]> {
  for (let i = 0; i < source.size; i++) yield source.record(i).captions;
}

async function readEntries(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new BantamError(
      `The entries "${path}" cannot be read (${causeOf(error)}); name a text file with an entry per line.`,
    );
  });
  return text.split(/\r?\n/).filter((line) => line.trim() !== '');
}

function combineMasks(masks: readonly Uint8Array[], how: 'all' | 'any'): Uint8Array {
  const [first = new Uint8Array()] = masks;
  return first.map((_, i) => {
    const wanted = how === 'all' ? 0 : 1;
    return masks.some((mask) => mask[i] === wanted) ? wanted : 1 - wanted;
  });
}

function countOf(mask: Uint8Array): number {
  return mask.reduce((sum, bit) => sum + bit, 0);
}
