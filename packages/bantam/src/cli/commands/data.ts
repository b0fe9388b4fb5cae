import { Argument, type Command } from 'commander';
import type { QuarantinedSample, SourceSummary, Spread } from '../../data/index.js';
import { UsageError } from '../../base/errors.js';
import { action, examples } from '../command.js';
import { showEmojiData, showOpening } from '../data-progress.js';
import { countOf } from '../../base/count-of.js';
import { formatTable } from '../output.js';
import { formatCount, Progress } from '../progress.js';
import { openTokenizer } from '../open-tokenizer.js';
import { positiveInteger } from '../values.js';
import { addCaption } from './data-caption.js';
import { addReinforce } from './data-reinforce.js';
import { addReport } from './data-report.js';
import { addScore } from './data-score.js';
import { addSelect } from './data-select.js';

/** `bantam data get` and `bantam data inspect` */
export function addData(program: Command): void {
  const data = program
    .command('data')
    .description('download, inspect, score, select, shard, caption and reinforce data sets');
  examples(data, ['bantam data get emoji', 'bantam data inspect emoji']);

  addGet(data);
  addInspect(data);
  addPack(data);
  addScore(data);
  addSelect(data);
  addReport(data);
  addCaption(data);
  addReinforce(data);
}

function addGet(data: Command): void {
  const get = data
    .command('get')
    .description('download a built-in data set into the cache')
    .addArgument(new Argument('<name>', 'the data set').choices(['emoji']));
  examples(get, ['bantam data get emoji']);
  action(get, async () => {
    const { emojiStyles, getEmoji } = await import('../../data/index.js');
    const progress = new Progress();
    try {
      const { directory, images: stored } = await getEmoji({
        onProgress: showEmojiData(progress),
      });
      const styles = emojiStyles.map(({ name, licence, attribution }) => {
        return { name, images: stored.get(name)?.length ?? 0, licence, attribution };
      });
      return {
        text: [
          ...styles.map(({ name, images, licence, attribution }) => {
            return `${name}: ${countOf(images, 'image')}, ${licence}, ${attribution}`;
          }),
          `The emoji data set is in ${directory}`,
        ].join('\n'),
        json: { directory, styles },
      };
    } finally {
      progress.done();
    }
  });
}

function addInspect(data: Command): void {
  const inspect = data
    .command('inspect')
    .description('summarise a data set: sizes, captions, duplicates, broken images')
    .argument(
      '<spec>',
      'the data set: csv:, tsv:, jsonl:, parquet: or coco:FILE, hf:, folder: or images:DIRECTORY, wds:SHARDS, mix:FILE or emoji',
    )
    .option('--sheet <file.png>', 'write a contact sheet of some of its images')
    .option(
      '--tokenizer <dir>',
      'count the tokens of its captions with this tokenizer, or that of a model directory',
    )
    .option(
      '--augment <augmentation>',
      'apply this augmentation to the images of the contact sheet',
    );
  examples(inspect, [
    'bantam data inspect folder:photos --sheet photos.png',
    'bantam data inspect emoji --sheet emoji.png --augment stacked-rand-augment',
    'bantam data inspect "csv:pairs.csv?image=file&caption=title"',
    'bantam data inspect "wds:shards/{00000..00019}.tar"',
    'bantam data inspect "coco:captions_val2017.json?images=val2017"',
    'bantam data inspect jsonl:pairs.jsonl --tokenizer runs/first/model',
  ]);
  interface InspectFlags {
    readonly sheet?: string;
    readonly augment?: string;
    readonly tokenizer?: string;
  }
  action(inspect, async (options: InspectFlags, spec: string) => {
    const { contactSheet, describeNote, inspectSource, openSource, parseAugment } =
      await import('../../data/index.js');
    const { sheet } = options;
    if (options.augment !== undefined && sheet === undefined) {
      throw new UsageError('--augment changes the contact sheet; give --sheet FILE.png as well.');
    }
    const augment = options.augment === undefined ? undefined : parseAugment(options.augment);
    const progress = new Progress();
    let summary: SourceSummary;
    try {
      const source = await openSource(spec, { onOpen: showOpening(progress) });
      progress.update('inspecting', `${source.size} records`);
      const tokenizer =
        options.tokenizer === undefined ? undefined : await openTokenizer(options.tokenizer);
      summary = await inspectSource(source, { ...(tokenizer && { tokenizer }) });
      if (sheet !== undefined)
        await contactSheet(source, { path: sheet, ...(augment && { augment }) });
    } finally {
      progress.done();
    }
    const written = sheet === undefined ? [] : [`\nContact sheet: ${sheet}`];
    return {
      text: [describe(summary, summary.notes.map(describeNote)), ...written].join('\n'),
      json: sheet === undefined ? summary : { ...summary, sheet },
    };
  });
}

function addPack(data: Command): void {
  const pack = data
    .command('pack')
    .description('write a data set as webdataset tar shards, which OpenCLIP reads as well')
    .argument('<spec>', 'the data set')
    .requiredOption('--out <folder>', 'folder for the shards')
    .option('--shard-size <n>', 'samples per shard (default: 5000)', positiveInteger);
  examples(pack, ['bantam data pack csv:pairs.csv --out shards']);
  action(pack, async ({ out, shardSize }: { out: string; shardSize?: number }, spec: string) => {
    const { describeNote, openSource, writeShards } = await import('../../data/index.js');
    const progress = new Progress();
    const start = Date.now();
    try {
      const source = await openSource(spec, { onOpen: showOpening(progress) });
      const summary = await writeShards(source, {
        out,
        ...(shardSize !== undefined && { shardSize }),
        onProgress: ({ done, total }) => {
          progress.update('writing shards', formatCount(done, total, start));
        },
      });
      const notes = [...(source.notes ?? []).map(describeNote), ...summary.broken.map(brokenLine)];
      const kept = summary.kept === 0 ? '' : ` (${summary.kept} there before)`;
      const text = `${countOf(summary.shards, 'shard')}${kept}, ${countOf(summary.written, 'sample')} written: ${summary.spec}`;
      return { text: [...notes, text].join('\n'), json: { ...summary, notes: source.notes ?? [] } };
    } finally {
      progress.done();
    }
  });
}

function brokenLine({ key, reason }: QuarantinedSample): string {
  return `Broken: ${key}: ${reason}`;
}

function describe(
  { captions, synthetic, images, labels, licences, ...summary }: SourceSummary,
  notes: readonly string[],
): string {
  const range = ({ min, median, max }: Spread): string => `${min} to ${max} (median ${median})`;
  const facts = [
    ['records', `${summary.records}, ${summary.samplesPerEpoch} per epoch`],
    ...(captions.count === 0
      ? [['captions', 'none']]
      : [
          [
            'captions',
            `${captions.count}, ${captions.estimated === true ? 'about ' : ''}${captions.duplicates} of them repeated`,
          ],
          [
            'caption length',
            `${range(captions.words)} words, ${range(captions.characters)} characters`,
          ],
        ]),
    ...(captions.tokens === undefined
      ? []
      : [
          [
            'caption tokens',
            `${range(captions.tokens)}; ${captions.tokens.full} captions fill the context of ${captions.tokens.context}, and what is longer is cut`,
          ],
        ]),
    ...(synthetic === undefined
      ? []
      : [
          [
            'synthetic',
            `${countOf(synthetic.captions, 'caption')} of ${countOf(synthetic.records, 'record')}, by ${synthetic.sources.join(', ')}`,
          ],
        ]),
    ['width', `${range(images.width)} pixels, of ${countOf(images.decoded, 'image')}`],
    ['height', `${range(images.height)} pixels`],
    ['equal images', `${images.duplicates} of ${images.compared}`],
    ['broken images', `${images.broken.length}`],
    ...labels.map(({ name, classes, largest, smallest, unlabelled }) => [
      name,
      `${countOf(classes, 'class', 'classes')}, from ${smallest.records} (${smallest.name}) to ${largest.records} (${largest.name}), ${countOf(unlabelled, 'record')} without`,
    ]),
    ...licences.map(({ part, licence, attribution }) => [part, `${licence}, ${attribution}`]),
  ];
  const broken = images.broken.map(brokenLine);
  const examples = (synthetic?.examples ?? []).map(({ key, captions: [real = ''], ...example }) => {
    const texts = (example.synthetic ?? []).map(({ text }) => `\n  synthetic: ${text}`);
    return `${key}\n  real: ${real}${texts.join('')}`;
  });
  return [formatTable(facts), ...notes, ...broken, ...examples].join('\n');
}
