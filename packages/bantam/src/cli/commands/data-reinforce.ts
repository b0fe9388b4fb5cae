import { Option, type Command } from 'commander';
import type { ReinforceProgress, ReinforceSummary } from '../../train/index.js';
import { BantamError } from '../../base/errors.js';
import { action, examples } from '../command.js';
import { deviceOption } from '../inference.js';
import { fetchModel, MODEL_NAMES } from '../model-names.js';
import { showOpening } from '../data-progress.js';
import { stopOnInterrupt } from '../interrupt.js';
import { countOf } from '../../base/count-of.js';
import { formatCount, Progress } from '../progress.js';
import { listed, positiveInteger, wholeNumber } from '../values.js';

interface ReinforceFlags {
  readonly data: string;
  readonly teacher: readonly string[];
  readonly out: string;
  readonly augmentations?: number;
  readonly captions?: number;
  readonly augment?: string;
  readonly size?: number;
  readonly seed?: number;
  readonly batch?: number;
  readonly precision?: 'auto' | 'fp32' | 'bf16' | 'fp16';
  readonly device?: string;
  readonly store?: 'fp32' | 'bf16';
  readonly block?: number;
}

/** `bantam data reinforce` */
export function addReinforce(data: Command): void {
  const reinforce = data
    .command('reinforce')
    .description(
      'store teacher embeddings of views and captions: a reinforced data set to distil from (Vasu et al.)',
    )
    .requiredOption(
      '--data <spec>',
      'the data set: csv:FILE, folder:DIRECTORY, wds:SHARDS or emoji',
    )
    .requiredOption('--teacher <name>', `a teacher: ${MODEL_NAMES}; repeatable`, listed)
    .requiredOption(
      '--out <folder>',
      'folder of the reinforced data set; a set that was begun is resumed',
    )
    .option('--augmentations <n>', 'augmented views per image (default: 8)', positiveInteger)
    .option('--captions <n>', 'captions per record, sampled (default: 4)', positiveInteger)
    .option('--augment <augmentation>', "a name or a JSON list (default: the data set's own)")
    .option(
      '--size <pixels>',
      "resolution of the teachers' images (default: that of the largest teacher)",
      positiveInteger,
    )
    .option('--seed <n>', 'seed of the views and captions (default: 0)', wholeNumber)
    .option('--batch <n>', 'batch size of the teachers (default: 64)', positiveInteger)
    .addOption(
      new Option('--precision <name>', 'precision of the teachers (default: auto)').choices([
        'auto',
        'fp32',
        'bf16',
        'fp16',
      ]),
    )
    .addOption(deviceOption())
    .addOption(
      new Option('--store <name>', 'dtype of the stored embeddings (default: bf16)').choices([
        'bf16',
        'fp32',
      ]),
    )
    .option('--block <n>', 'records per file (default: 256)', positiveInteger);
  examples(reinforce, [
    'bantam data reinforce --data csv:pairs.csv --teacher models/ViT-B-32 --out pairs-reinforced',
    'bantam train --data csv:pairs.csv --out runs/small --budget 30m --strategy distill --reinforced pairs-reinforced',
  ]);
  action(
    reinforce,
    async ({ data: spec, teacher, batch, block, augment, ...flags }: ReinforceFlags) => {
      const { describeNote, openSource, parseAugment } = await import('../../data/index.js');
      const parsed = augment === undefined ? undefined : parseAugment(augment);
      const { reinforceSource } = await import('../../train/index.js');
      const progress = new Progress();
      try {
        const source = await openSource(spec, { onOpen: showOpening(progress) });
        for (const note of source.notes ?? []) progress.note(describeNote(note));
        for (const name of teacher) await fetchModel(name, progress);
        progress.update('loading', teacher.join(', '));
        const summary = await reinforceSource(source, {
          ...flags,
          teachers: teacher,
          ...(parsed !== undefined && { augment: parsed }),
          ...(batch !== undefined && { batchSize: batch }),
          ...(block !== undefined && { blockSize: block }),
          signal: stopOnInterrupt('stopping after the files in progress'),
          onProgress: showReinforcing(progress),
        });
        return { text: describe(summary, spec), json: summary };
      } finally {
        progress.done();
      }
    },
  );
}

function showReinforcing(progress: Progress): (state: ReinforceProgress) => void {
  const start = Date.now();
  return ({ done, total }) => {
    const seconds = (Date.now() - start) / 1000;
    const rate = seconds > 0 ? ` · ${(done / seconds).toPrecision(2)} records/s` : '';
    progress.update('reinforcing', `${formatCount(done, total, start)}${rate}`);
  };
}

/** @throws BantamError for a run that was interrupted: its work is not done. */
function describe(summary: ReinforceSummary, spec: string): string {
  const { out, records, kept, written, augmentations, captions, broken, interrupted } = summary;
  if (interrupted) {
    throw new BantamError(
      `Reinforcing was interrupted after ${kept + written} of ${records} records, which are in "${out}"; run the same command again to resume.`,
    );
  }
  const before = kept === 0 ? '' : ` (${kept} were there before)`;
  return [
    ...broken.map(({ key, reason }) => `Broken: ${key}: ${reason}`),
    `${countOf(augmentations, 'view')} and ${countOf(captions, 'caption')} of ${countOf(written, 'record')} written${before}: ${out}`,
    `Train from them with --data "${spec}" --strategy distill --reinforced ${out}`,
  ].join('\n');
}
