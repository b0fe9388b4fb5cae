import { InvalidArgumentError, type Command } from 'commander';
import { action, examples } from '../command.js';
import { countOf } from '../../base/count-of.js';
import { formatPercent, formatTable } from '../output.js';
import { formatCount, Progress } from '../progress.js';
import { positiveInteger, positiveNumber } from '../values.js';

interface DuplicatesFlags {
  readonly index: string;
  readonly above: number;
  readonly seconds?: number;
  readonly top: number;
  readonly exact?: true;
}

function cosine(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value > -1 && value <= 1)) {
    throw new InvalidArgumentError('It must be a cosine: above -1, at most 1');
  }
  return value;
}

/** `bantam duplicates` */
export function addDuplicates(program: Command): void {
  const command = program
    .command('duplicates')
    .description('find images of an index that are nearly alike')
    .requiredOption('--index <path>', 'folder of bantam index, or file of bantam embed')
    .option('--above <cosine>', 'lowest cosine of a pair', cosine, 0.95)
    .option('--seconds <n>', 'stop after this time and report what was compared', positiveNumber)
    .option('--top <n>', 'pairs to print; --json has all', positiveInteger, 20)
    .option('--exact', 'compare every pair even if the index has a graph');
  examples(command, ['bantam duplicates --index shop --above 0.98']);
  action(command, async ({ index: path, above, seconds, top, exact }: DuplicatesFlags) => {
    const { openIndex } = await import('../../search/index.js');
    using index = await openIndex(path, { ...(exact && { exact }) });
    const progress = new Progress();
    const start = Date.now();
    try {
      const found = await index.duplicates({
        above,
        ...(seconds !== undefined && { seconds }),
        onProgress: (done, total) => {
          progress.update('comparing', formatCount(done, total, start));
        },
      });
      const keyOf = (row: number): string => index.record(row).key;
      const pairs = found.pairs.map(({ rows: [a, b], score }) => ({
        keys: [keyOf(a), keyOf(b)],
        score,
      }));
      const groups = found.groups.map((rows) => rows.map(keyOf));
      const { compared, isApproximate } = found;
      const lines = [
        `${countOf(pairs.length, 'pair')} of ${countOf(index.size, 'image')} ${pairs.length === 1 ? 'has' : 'have'} a cosine of ${above} or more, in ${countOf(groups.length, 'group')}.`,
        ...(compared < 1 ? [`Only ${formatPercent(compared)} was compared in the time.`] : []),
        ...(isApproximate
          ? [
              'Each image was compared with its neighbours in the graph; --exact compares all pairs.',
            ]
          : []),
        formatTable(pairs.slice(0, top).map(({ keys, score }) => [score.toFixed(4), ...keys])),
      ];
      return {
        text: lines.filter((line) => line !== '').join('\n'),
        json: { index: path, above, compared, isApproximate, pairs, groups },
      };
    } finally {
      progress.done();
    }
  });
}
