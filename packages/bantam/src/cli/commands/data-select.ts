import { InvalidArgumentError, Option, type Command } from 'commander';
import type { CriterionInput, Subset, TieRule } from '../../data/index.js';
import { UsageError } from '../../base/errors.js';
import { comparisonOperators } from '../../data/select/criteria.js';
import { action, examples } from '../command.js';
import { describeCriterion } from '../criterion-text.js';
import { showOpening } from '../data-progress.js';
import { countOf } from '../../base/count-of.js';
import { formatPercent, formatTable } from '../output.js';
import { Progress } from '../progress.js';
import {
  fractionOf,
  loadScoreFiles,
  namedFractions,
  scoreFilesHelp,
  type NamedNumber,
} from '../score-files.js';
import { listed, positiveInteger, positiveNumber, wholeNumber } from '../values.js';

type Comparison = Pick<CriterionInput & { type: 'where' }, 'score' | 'is' | 'value'>;

interface SelectFlags {
  readonly out: string;
  readonly scores?: readonly string[];
  readonly top?: readonly NamedNumber[];
  readonly ties?: TieRule;
  readonly where?: readonly Comparison[];
  readonly datacompBasic?: true;
  readonly random?: number;
  readonly seed: number;
  readonly perClass?: number;
  readonly labels?: string;
  readonly unique?: readonly string[];
  readonly distance?: number;
  readonly best?: string;
  readonly balanceCaptions?: number;
  readonly entries?: string;
  readonly matchCase?: true;
  readonly subset?: readonly string[];
  readonly any?: true;
  readonly complement?: true;
}

/** `bantam data select` */
export function addSelect(data: Command): void {
  const select = data
    .command('select')
    .description('choose samples of a data set: a file of keys, for SPEC?subset=FILE')
    .argument('<spec>', 'the data set')
    .requiredOption('--out <file>', 'file for the keys')
    .option('--scores <files...>', scoreFilesHelp)
    .option(
      '--top <score=fraction>',
      'the fraction of all scored samples with the highest score; a+b=fraction: with the highest rank by both (repeatable)',
      namedFractions,
    )
    .addOption(
      new Option(
        '--ties <rule>',
        "ties at the cut of --top: exactly the fraction, by key, or keep all (DataComp's rule)",
      ).choices(['key', 'keep']),
    )
    .option(
      '--where <comparison>',
      'samples whose score compares so, e.g. "words>=3" or language=en (repeatable)',
      comparison,
    )
    .option(
      '--datacomp-basic',
      "DataComp's basic filter: English, length of captions, size, aspect",
    )
    .option(
      '--random <fraction>',
      'a random fraction; smaller ones are parts of larger',
      fractionOf,
    )
    .option('--seed <n>', 'seed of random choices', wholeNumber, 0)
    .option('--per-class <n>', 'at most so many samples of each class', positiveInteger)
    .option('--labels <name>', 'classification of --per-class (default: the first)')
    .option(
      '--unique <score>',
      'one of each group of duplicates by phash or duplicateOf (repeatable)',
      listed,
    )
    .option(
      '--distance <bits>',
      'bits by which hashes of duplicates may differ (default: 4)',
      wholeNumber,
    )
    .option('--best <score>', 'score of which --per-class and --unique keep the highest')
    .option(
      '--balance-captions <t>',
      "MetaCLIP's balancing: about t samples of each entry",
      positiveNumber,
    )
    .option(
      '--entries <file.txt>',
      'entries of --balance-captions, one per line (default: the words of the captions)',
    )
    .option('--match-case', 'entries match only in their own case')
    .option('--subset <file>', 'the samples of another subset (repeatable)', listed)
    .option('--any', 'samples that meet any criterion, instead of all')
    .option('--complement', 'the samples that would not be chosen');
  examples(select, [
    'bantam data select csv:pairs.csv --random 10% --out tenth.txt',
    'bantam data select csv:pairs.csv --scores scores.jsonl --top similarity=40% --unique phash --best similarity --out top40.txt',
    'bantam data select csv:pairs.csv --scores scores.jsonl --where "words>=3" --where language=en --out english.txt',
    'bantam data select csv:pairs.csv --scores a=one.jsonl b=two.jsonl --top a.similarity+b.similarity=30% --out agreed.txt',
    'bantam train --data "csv:pairs.csv?subset=top40.txt" --out runs/top40 --budget 10m',
  ]);
  action(select, async (flags: SelectFlags, spec: string) => {
    const criteria = criteriaOf(flags);
    const { describeNote, openSource, selectSubset, withSubset, writeSubset } =
      await import('../../data/index.js');
    const progress = new Progress();
    try {
      const scores = await loadScoreFiles(flags.scores ?? []);
      const source = await openSource(spec, { onOpen: showOpening(progress) });
      progress.update('selecting', `from ${source.size} records`);
      const combine = flags.any === true ? 'any' : 'all';
      const chosen =
        flags.complement === true
          ? await selectSubset(source, [{ type: 'not', of: { type: combine, of: criteria } }], {
              scores,
            })
          : await selectSubset(source, criteria, { scores, combine });
      const { header, keys, alone, notes } = chosen;
      writeSubset(flags.out, header, keys);
      const lost = (source.notes ?? []).filter(({ kind }) => kind !== 'info').map(describeNote);
      return {
        text: [...lost, describe(chosen, flags.out, withSubset(spec, flags.out))].join('\n'),
        json: { out: flags.out, records: header.of, selected: keys.length, alone, notes },
      };
    } finally {
      progress.done();
    }
  });
}

function comparison(text: string, before: readonly Comparison[] = []): readonly Comparison[] {
  const [, score = '', found = '', value = ''] = /^([\w.]+)(>=|<=|!=|=|>|<)(.+)$/.exec(text) ?? [];
  const is = comparisonOperators.find((known) => known === found);
  if (is === undefined) {
    throw new InvalidArgumentError('It must compare a score with a value, as in "words>=3"');
  }
  const number = Number(value);
  return [...before, { score, is, value: Number.isNaN(number) ? value : number }];
}

/** @throws UsageError for options without the criterion that they belong to. */
function criteriaOf(flags: SelectFlags): CriterionInput[] {
  const { seed, ties, labels, distance, best: by, entries, matchCase } = flags;
  const criteria: CriterionInput[] = [
    ...(flags.top ?? []).map(({ name, value }): CriterionInput => {
      return { type: 'top', scores: name.split('+'), fraction: value, ...(ties && { ties }) };
    }),
    ...(flags.where ?? []).map((rule): CriterionInput => ({ type: 'where', ...rule })),
    ...(flags.datacompBasic === true ? [{ type: 'datacomp-basic' } as const] : []),
    ...(flags.random === undefined
      ? []
      : [{ type: 'random', fraction: flags.random, seed } as const]),
    ...(flags.perClass === undefined
      ? []
      : [
          {
            type: 'per-class',
            count: flags.perClass,
            seed,
            ...(labels !== undefined && { labels }),
            ...(by !== undefined && { by }),
          } as const,
        ]),
    ...(flags.unique ?? []).map((score): CriterionInput => {
      return {
        type: 'unique',
        score,
        ...(distance !== undefined && { distance }),
        ...(by !== undefined && { by }),
      };
    }),
    ...(flags.balanceCaptions === undefined
      ? []
      : [
          {
            type: 'balance-captions',
            t: flags.balanceCaptions,
            seed,
            ...(entries !== undefined && { entries }),
            ignoreCase: matchCase !== true,
          } as const,
        ]),
    ...(flags.subset ?? []).map((file): CriterionInput => ({ type: 'subset', file })),
  ];
  const owners: readonly [option: string, given: boolean, owner: string, present: boolean][] = [
    ['--ties', ties !== undefined, '--top', flags.top !== undefined],
    ['--labels', labels !== undefined, '--per-class', flags.perClass !== undefined],
    ['--distance', distance !== undefined, '--unique', flags.unique !== undefined],
    [
      '--best',
      by !== undefined,
      '--unique or --per-class',
      (flags.unique ?? flags.perClass) !== undefined,
    ],
    ['--entries', entries !== undefined, '--balance-captions', flags.balanceCaptions !== undefined],
    ['--match-case', matchCase === true, '--balance-captions', flags.balanceCaptions !== undefined],
  ];
  for (const [option, given, owner, present] of owners) {
    if (given && !present)
      throw new UsageError(`${option} belongs to ${owner}; give that as well.`);
  }
  if (criteria.length === 0) {
    throw new UsageError(
      'Selecting needs a criterion, such as --top similarity=0.4, --where "words>=3" or --random 0.1; --help lists them.',
    );
  }
  return criteria;
}

function describe({ header, keys, alone, notes }: Subset, out: string, use: string): string {
  const percent = (count: number): string => formatPercent(count / header.of);
  const rows = alone.map(({ criterion, kept }) => [
    `  ${describeCriterion(criterion)}`,
    `${kept}`,
    percent(kept),
  ]);
  const each = alone.length < 2 ? [] : ['Kept by each criterion alone:', formatTable(rows, { right: [1, 2] })]; // prettier-ignore
  return [
    ...notes,
    ...each,
    `${keys.length} of ${countOf(header.of, 'record')} selected (${percent(keys.length)}): ${out}`,
    `Use them with "${use}"`,
  ].join('\n');
}
