import { Argument, type Command } from 'commander';
import { does, examples } from '../command.js';
import { Progress, formatCount } from '../progress.js';

/** `bantam data get` and `bantam data inspect` */
export function addData(program: Command): void {
  const data = program.command('data').description('get data sets and look into them');
  examples(data, ['bantam data get emoji', 'bantam data inspect emoji']);

  const get = data
    .command('get')
    .description('fetch a built-in data set into the cache')
    .addArgument(new Argument('<name>', 'the data set').choices(['emoji']));
  examples(get, ['bantam data get emoji']);
  does(get, async () => {
    const { emojiStyles, getEmoji } = await import('../../data/index.js');
    const progress = new Progress();
    const start = Date.now();
    try {
      const { directory, hexcodes } = await getEmoji({
        onProgress: ({ stage, what, done, total }) => {
          if (stage === 'fetch') progress.update('fetching packages', what);
          else progress.update(`rendering ${what}`, formatCount(done, total, start));
        },
      });
      const styles = emojiStyles.map(({ name, licence, attribution }) => {
        return { name, pictures: hexcodes.get(name)?.length ?? 0, licence, attribution };
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
