import { writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import { makeFolder } from '../../base/make-folder.js';
import { action, examples } from '../command.js';
import { showOpening } from '../data-progress.js';
import { countOf } from '../../base/count-of.js';
import { Progress } from '../progress.js';
import { loadScoreFiles, scoreFilesHelp } from '../score-files.js';
import { positiveInteger, wholeNumber } from '../values.js';

interface ReportFlags {
  readonly scores: readonly string[];
  readonly out: string;
  readonly show?: string;
  readonly images?: number;
  readonly distance?: number;
}

/** `bantam data report` */
export function addReport(data: Command): void {
  const report = data
    .command('report')
    .description('write a page about the scores of a data set: histograms, images, duplicates')
    .argument('<spec>', 'the data set')
    .requiredOption('--scores <files...>', scoreFilesHelp)
    .requiredOption('--out <file.html>', 'file for the page')
    .option(
      '--show <scores>',
      'scores to show with images, with commas (default: those of models, else all numbers)',
    )
    .option('--images <n>', 'images between two cuts (default: 8)', positiveInteger)
    .option(
      '--distance <bits>',
      'bits by which hashes of duplicates may differ (default: 4)',
      wholeNumber,
    );
  examples(report, ['bantam data report csv:pairs.csv --scores scores.jsonl --out scores.html']);
  action(report, async ({ scores, out, show, ...options }: ReportFlags, spec: string) => {
    const { openSource } = await import('../../data/index.js');
    const { gatherScores, renderScores } = await import('../../report/index.js');
    const progress = new Progress();
    try {
      const tables = await loadScoreFiles(scores);
      const source = await openSource(spec, { onOpen: showOpening(progress) });
      progress.update('collecting', `images of ${source.size} records`);
      const page = await gatherScores(source, tables, {
        ...options,
        ...(show !== undefined && { show: show.split(',') }),
      });
      makeFolder(dirname(out));
      writeFileSync(out, renderScores(page));
      const { agreements, notes, records } = page;
      const duplicates = page.duplicates.map(({ name, duplicates: count, groups }) => {
        return { name, duplicates: count, groups };
      });
      const lines = [
        ...notes,
        ...duplicates.map(
          ({ name, duplicates: count, groups }) =>
            `By ${name}, ${count} of ${countOf(records, 'record')} duplicate one of ${countOf(groups, 'other')}.`,
        ),
        ...agreements.map(
          ({ a, b, correlation }) => `Rank correlation of ${a} and ${b}: ${correlation.toFixed(2)}`,
        ),
        `Page: ${out}`,
      ];
      return { text: lines.join('\n'), json: { out, records, duplicates, agreements, notes } };
    } finally {
      progress.done();
    }
  });
}
