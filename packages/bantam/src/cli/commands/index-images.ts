import { Option, type Command } from 'commander';
import { BantamError, UsageError } from '../../base/errors.js';
import { otherWorkingFolder } from '../../base/working-folder.js';
import type { Comparison } from '../../search/image-stamp.js';
import { action, examples } from '../command.js';
import { showEmbedding } from '../embed-progress.js';
import { deviceOption, loadToRun, precisionOption, type InferenceFlags } from '../inference.js';
import { MODEL_NAMES } from '../model-names.js';
import { countOf } from '../../base/count-of.js';
import { formatPercent, formatTable } from '../output.js';
import { formatCount, Progress } from '../progress.js';
import { describeUpdate } from '../update-summary.js';
import { positiveFraction, positiveInteger } from '../values.js';
import { unchangedOption } from './embed.js';
import type { GraphInfo, GraphProgress, GrowProgress, SearchIndex } from '../../search/index.js';

interface IndexFlags extends InferenceFlags {
  readonly model?: string;
  readonly data?: string;
  readonly kind: 'auto' | 'graph' | 'exact';
  readonly connectivity?: number;
  readonly recall?: number;
  readonly unchanged: Comparison;
  readonly keepGone?: true;
  readonly compact?: true;
}

/** `bantam index` */
export function addIndex(program: Command): void {
  const command = program
    .command('index')
    .description('make an index of images for searching in a folder, or bring it up to date')
    .argument('<folder>', 'folder of the index')
    .option('--model <name>', `${MODEL_NAMES} (default: the model of the index)`)
    .option('--data <spec>', 'data set (default: the data set of the index)')
    .addOption(
      new Option('--kind <kind>', 'graph: approximate search; auto: from 200,000 images on')
        .choices(['auto', 'graph', 'exact'])
        .default('auto'),
    )
    .option(
      '--recall <fraction>',
      'recall@10 that approximate search shall have (0.95)',
      positiveFraction,
    )
    .option('--connectivity <n>', 'neighbours of an image in the graph (16)', positiveInteger)
    .addOption(unchangedOption())
    .option('--keep-gone', 'keep images that the data set does not have any more')
    .option('--compact', 'write the files anew without what was removed')
    .addOption(precisionOption())
    .addOption(deviceOption())
    .addHelpText(
      'after',
      `
The table of scores at the end says how far a result is above chance: an image that has nothing to do with a
query passes the score of a column with that probability. "bantam search --false-positives RATE" leaves out
images below it, --min-score those below a score of your own.`,
    );
  examples(command, [
    'bantam index shop --model runs/first/model --data "csv:products.csv?image=photo&caption=title"',
    'bantam index shop',
    'bantam index shop --kind graph --recall 0.98',
  ]);
  action(command, async (flags: IndexFlags, folder: string) => {
    const { buildIndex, holdsCollection, namedModel, openIndex, readManifest } =
      await import('../../search/index.js');
    const known = holdsCollection(folder) ? await readManifest(folder) : undefined;
    const path = known?.model?.path;
    const directory = flags.model ?? (path === undefined ? undefined : namedModel(path, folder));
    const spec = flags.data ?? known?.spec;
    if (directory === undefined || spec === undefined) {
      throw new UsageError(
        `The index ${folder} is new: name the model and the data set with --model DIR --data SPEC.`,
      );
    }
    const { openSource, resolveSpec } = await import('../../data/index.js');
    // Relative paths of the index's data set lead from where it was named.
    const from =
      flags.data === undefined && known?.specFolder !== undefined
        ? otherWorkingFolder(known.specFolder, folder)
        : undefined;
    const source = await openSource(from === undefined ? spec : resolveSpec(spec, from));
    const progress = new Progress();
    try {
      const model = await loadToRun(directory, flags, progress);
      const { kind, connectivity, recall, unchanged, keepGone, compact } = flags;
      const summary = await buildIndex(folder, {
        model,
        source,
        kind,
        unchanged,
        ...(connectivity !== undefined && { connectivity }),
        ...(recall !== undefined && { recall }),
        ...(keepGone && { keepGone }),
        ...(compact && { compact }),
        onProgress: showBuilding(progress),
      });
      const { size, dimensions, graph, compacted, ...changes } = summary;
      using index = await openIndex(folder, { exact: true });
      const cutoffs = cutoffsOf(index);
      const lines = [
        `Indexed ${countOf(size, 'image')} in ${dimensions} dimensions: ${folder}`,
        describeUpdate(changes),
        ...(compacted ? ['The files were written anew without what was removed.'] : []),
        ...(graph === undefined ? [] : [describeGraph(graph)]),
        ...(cutoffs.length === 0 ? [] : [describeCutoffs(cutoffs)]),
      ];
      return { text: lines.join('\n'), json: { index: folder, ...summary, cutoffs } };
    } finally {
      progress.done();
    }
  });
}

/** Cut-offs of queries of one text or one image. */
interface Cutoffs {
  readonly kind: 'text' | 'image';
  readonly scores: readonly { readonly rate: number; readonly score: number }[];
}

const shownRates = [0.01, 0.001, 0.0001];

/** Cut-offs at a few rates, of queries that the index has examples of. */
function cutoffsOf(index: SearchIndex): Cutoffs[] {
  return (['text', 'image'] as const).flatMap((kind) => {
    const scores = shownRates.flatMap((rate) => {
      const score = cutoffOf(index, kind, rate);
      return score === undefined ? [] : [{ rate, score }];
    });
    return scores.length === 0 ? [] : [{ kind, scores }];
  });
}

/** The cut-off of queries of one kind; undefined if the index has too few images for it, or no captions. */
function cutoffOf(index: SearchIndex, kind: Cutoffs['kind'], rate: number): number | undefined {
  try {
    // The form of the query decides, not its vector.
    return index.cutoff([{ kind, vector: new Float32Array(index.width) }], rate);
  } catch (error) {
    if (error instanceof BantamError) return undefined;
    throw error;
  }
}

function describeCutoffs(cutoffs: readonly Cutoffs[]): string {
  const isKnown = (wanted: number): boolean =>
    cutoffs.some(({ scores }) => scores.some(({ rate }) => rate === wanted));
  const rates = shownRates.filter(isKnown);
  const rows = cutoffs.map(({ kind, scores }) => [
    `${kind} query`,
    ...rates.map((wanted) => scores.find(({ rate }) => rate === wanted)?.score.toFixed(3) ?? '–'),
  ]);
  const table = formatTable([['', ...rates.map(String)], ...rows], { right: [1, 2, 3] });
  return `Scores that images without relation to a query pass at these rates; "bantam search --false-positives RATE" leaves out what is below:\n${table}`;
}

/** Shows the progress of embedding and of the graph. */
function showBuilding(progress: Progress): (state: GrowProgress | GraphProgress) => void {
  const embedding = showEmbedding(progress);
  let stage = '';
  let start = 0;
  return (state) => {
    if (state.stage === 'images') {
      embedding(state);
      return;
    }
    if (state.stage !== stage) [stage, start] = [state.stage, Date.now()];
    const task = stage === 'graph' ? 'building the graph' : 'measuring recall';
    progress.update(task, formatCount(state.done, state.total, start));
  };
}

/** The recall of a graph, and what a search takes from it. */
function describeGraph({ rows, measuredRows, recall, candidates }: GraphInfo): string {
  const percent = (value: number | undefined) => (value === undefined ? '-' : formatPercent(value));
  const table = formatTable(
    [
      ['candidates', 'image queries', 'text queries', 'ms a query'],
      ...recall.map((row) => [
        `${row.candidates}${row.candidates === candidates ? ' *' : '  '}`,
        percent(row.image),
        percent(row.text),
        row.milliseconds.toFixed(2),
      ]),
    ],
    { right: [0, 1, 2, 3] },
  );
  return `Approximate search over ${countOf(rows, 'vector')}. Recall@10, measured at ${measuredRows}, by candidates (*: in use):\n${table}`;
}
