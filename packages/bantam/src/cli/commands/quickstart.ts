import type { Command } from 'commander';
import { does, examples } from '../command.js';
import { showEmojiData } from '../data-progress.js';
import { showEmbedding } from '../embed-progress.js';
import { stopOnInterrupt } from '../interrupt.js';
import { Progress } from '../progress.js';
import { showTraining } from '../train-progress.js';

interface QuickstartFlags {
  readonly out: string;
  readonly budget: string;
  readonly force?: true;
}

/** `bantam quickstart` */
export function addQuickstart(program: Command): void {
  const command = program
    .command('quickstart')
    .description('get data, train for five minutes, evaluate and write a report')
    .option('--out <folder>', 'folder for everything that comes of it', 'quickstart')
    .option('--budget <amount>', 'how long to train: 1m, 50ksamples', '5m')
    .option('--force', 'start anew where the folder holds a quickstart');
  examples(command, ['bantam quickstart', 'bantam quickstart --budget 1m --out /tmp/quick']);
  does(command, async (flags: QuickstartFlags) => {
    const { quickstart } = await import('../../quickstart/index.js');
    const { formatTable } = await import('../../eval/index.js');
    const progress = new Progress();
    const showData = showEmojiData(progress);
    const showTrain = showTraining(progress);
    const showEmbed = showEmbedding(progress);
    try {
      const result = await quickstart({
        ...flags,
        signal: stopOnInterrupt('stopping, to go on another time'),
        onEvent: (event) => {
          if (event.kind === 'data') showData(event.progress);
          else if (event.kind === 'train') showTrain(event.event);
          else showEmbed(event.progress);
        },
      });
      progress.done();
      const next = result.next.map(({ command: line }) => `  ${line}`).join('\n');
      return {
        text: `${formatTable(result.evaluation)}\n\nReport: ${result.report}\n\nTry next:\n${next}`,
        json: result,
      };
    } finally {
      progress.done();
    }
  });
}
