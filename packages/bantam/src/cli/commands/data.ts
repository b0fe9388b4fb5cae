import { Argument, type Command } from 'commander';
import type { SourceSummary, Spread } from '../../data/index.js';
import { does, examples } from '../command.js';
import { showEmojiData } from '../data-progress.js';
import { formatTable } from '../output.js';
import { Progress } from '../progress.js';

/** `bantam data get` and `bantam data inspect` */
export function addData(program: Command): void {
  const data = program.command('data').description('get data sets and look into them');
  examples(data, ['bantam data get emoji', 'bantam data inspect emoji']);

  addGet(data);
  addInspect(data);
}

function addGet(data: Command): void {
  const get = data
    .command('get')
    .description('fetch a built-in data set into the cache')
    .addArgument(new Argument('<name>', 'the data set').choices(['emoji']));
  examples(get, ['bantam data get emoji']);
  does(get, async () => {
    const { emojiStyles, getEmoji } = await import('../../data/index.js');
    const progress = new Progress();
    try {
      const { directory, pictures: stored } = await getEmoji({
        onProgress: showEmojiData(progress),
      });
      const styles = emojiStyles.map(({ name, licence, attribution }) => {
        return { name, pictures: stored.get(name)?.length ?? 0, licence, attribution };
      });
      return {
        text: [
          ...styles.map(({ name, pictures, licence, attribution }) => {
            return `${name}: ${pictures} pictures, ${licence}, ${attribution}`;
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
    .description('say what a data set holds: sizes, captions, duplicates, broken pictures')
    .argument('<spec>', 'the data set: csv:FILE, folder:DIRECTORY or emoji')
    .option('--sheet <file.png>', 'write a contact sheet of some of its pictures');
  examples(inspect, [
    'bantam data inspect folder:photos --sheet photos.png',
    'bantam data inspect "csv:pairs.csv?image=file&caption=title"',
  ]);
  does(inspect, async ({ sheet }: { sheet?: string }, spec: string) => {
    const { contactSheet, inspectSource, openSource } = await import('../../data/index.js');
    const source = await openSource(spec);
    const progress = new Progress();
    progress.update('looking at', `${source.size} records`);
    const summary = await inspectSource(source);
    if (sheet !== undefined) await contactSheet(source, { path: sheet });
    progress.done();
    const drawn = sheet === undefined ? [] : [`\nContact sheet: ${sheet}`];
    return {
      text: [describe(summary), ...drawn].join('\n'),
      json: sheet === undefined ? summary : { ...summary, sheet },
    };
  });
}

function describe({ captions, images, labels, licences, ...summary }: SourceSummary): string {
  const range = ({ min, median, max }: Spread): string => `${min} to ${max} (median ${median})`;
  const facts = [
    ['records', `${summary.records}, ${summary.samplesPerEpoch} per epoch`],
    ['captions', `${captions.count}, ${captions.duplicates} of them repeated`],
    ['caption length', `${range(captions.words)} words, ${range(captions.characters)} characters`],
    ['width', `${range(images.width)} pixels, of ${images.decoded} pictures`],
    ['height', `${range(images.height)} pixels`],
    ['equal pictures', `${images.duplicates} of ${images.compared}`],
    ['broken pictures', `${images.broken.length}`],
    ...labels.map(({ name, classes, largest, smallest, unlabelled }) => [
      name,
      `${classes} classes, from ${smallest.records} (${smallest.name}) to ${largest.records} (${largest.name}), ${unlabelled} records without`,
    ]),
    ...licences.map(({ part, licence, attribution }) => [part, `${licence}, ${attribution}`]),
  ];
  const broken = images.broken.map(({ key, reason }) => `Broken: ${key}: ${reason}`);
  return [formatTable(facts), ...broken].join('\n');
}
