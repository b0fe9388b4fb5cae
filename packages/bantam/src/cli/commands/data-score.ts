import { Option, type Command } from 'commander';
import { BantamError } from '../../base/errors.js';
import type { ScoreSummary, ScoringProgress } from '../../scoring/index.js';
import { action, examples } from '../command.js';
import { showOpening } from '../data-progress.js';
import { deviceOption, precisionOption, type InferenceFlags } from '../inference.js';
import { stopOnInterrupt } from '../interrupt.js';
import { countOf } from '../../base/count-of.js';
import { formatCount, Progress } from '../progress.js';
import { positiveFraction, positiveInteger, wholeNumber } from '../values.js';

interface ScoreFlags extends InferenceFlags {
  readonly out: string;
  readonly model?: string;
  readonly scores?: string;
  readonly target?: string;
  readonly norm?: '2' | 'inf';
  readonly negatives?: number;
  readonly repetitions?: number;
  readonly seed?: number;
  readonly cosine?: number;
  readonly batchSize?: number;
}

/** `bantam data score` */
export function addScore(data: Command): void {
  const score = data
    .command('score')
    .description('score the samples of a data set, to select by the scores')
    .argument('<spec>', 'the data set')
    .requiredOption('--out <file.jsonl>', 'file for the scores; a file that was begun is resumed')
    .option('--model <dir>', 'model directory for similarity, negCLIPLoss, normSim and duplicates')
    .option(
      '--scores <names>',
      'with commas: captions (words, characters, language), images (width, height, aspect), phash, similarity, negCLIPLoss, normSim, duplicates (default: captions,images,phash, and similarity with a model)',
    )
    .option('--target <spec>', 'images that normSim compares with')
    .addOption(
      new Option('--norm <p>', 'norm of normSim (default: inf, the nearest target)').choices([
        '2',
        'inf',
      ]),
    )
    .option('--negatives <n>', 'pairs of a batch of negCLIPLoss (default: 32768)', positiveInteger)
    .option('--repetitions <n>', 'random batches of negCLIPLoss (default: 10)', positiveInteger)
    .option('--seed <n>', 'seed of these batches (default: 0)', wholeNumber)
    .option(
      '--cosine <c>',
      'cosine from which on two images are duplicates (default: 0.95)',
      positiveFraction,
    )
    .option('--batch-size <n>', 'samples at a time (default: 256)', positiveInteger)
    .addOption(precisionOption())
    .addOption(deviceOption());
  examples(score, [
    'bantam data score csv:pairs.csv --out scores.jsonl',
    'bantam data score csv:pairs.csv --out scores.jsonl --model runs/first/model --scores similarity,negCLIPLoss,duplicates',
    'bantam data score "wds:shards/*.tar" --out scores.jsonl --model models/clip --scores normSim --target folder:photos',
    'bantam data select csv:pairs.csv --scores scores.jsonl --top similarity=0.4 --out top40.txt',
  ]);
  action(
    score,
    async ({ out, model, scores, target, norm, ...flags }: ScoreFlags, spec: string) => {
      const { openSource } = await import('../../data/index.js');
      const progress = new Progress();
      try {
        const source = await openSource(spec, { onOpen: showOpening(progress) });
        const { loadScoringModel, scoreSource } = await import('../../scoring/index.js');
        const { precision, device, ...settings } = flags;
        const inference = { precision, ...(device !== undefined && { device }) };
        const summary = await scoreSource(source, {
          out,
          ...settings,
          ...(scores !== undefined && { scores: scores.split(',') }),
          ...(model !== undefined && { model: await loadScoringModel(model, inference) }),
          ...(target !== undefined && { target: await openSource(target) }),
          ...(norm !== undefined && { norm: norm === '2' ? 2 : norm }),
          signal: stopOnInterrupt('stopping after the batch in progress'),
          onProgress: showScoring(progress),
        });
        return { text: describe(summary, spec), json: summary };
      } finally {
        progress.done();
      }
    },
  );
}

function showScoring(progress: Progress): (state: ScoringProgress) => void {
  const tasks = {
    target: 'embedding the target',
    records: 'scoring',
    negCLIPLoss: 'comparing pairs',
    duplicates: 'finding duplicates',
  };
  let task = '';
  let start = 0;
  let first = 0;
  return ({ stage, done, total }) => {
    if (task !== stage) [task, start, first] = [stage, Date.now(), done];
    progress.update(tasks[stage], formatCount(done - first, total - first, start));
  };
}

/** @throws BantamError for a run that was interrupted: its work is not done. */
function describe(summary: ScoreSummary, spec: string): string {
  const { out, scores, records, kept, broken, interrupted } = summary;
  if (interrupted) {
    throw new BantamError(
      `Scoring was interrupted; what is scored is in "${out}.partial", and the same command resumes it.`,
    );
  }
  const before = kept === 0 ? '' : ` (${kept} of them before)`;
  const lost = broken === 0 ? '' : ` ${broken} of them are broken and have none.`;
  return [
    `${countOf(records, 'record')} scored${before}: ${out}.${lost} Scores: ${scores.join(', ')}.`,
    `Select by them with: bantam data select "${spec}" --scores ${out} --out subset.txt …; look at them with: bantam data report "${spec}" --scores ${out} --out scores.html`,
  ].join('\n');
}
