import type { Command } from 'commander';
import { action, examples } from '../command.js';
import { showEmojiData } from '../data-progress.js';
import { showEmbedding } from '../embed-progress.js';
import { deviceOption } from '../inference.js';
import { stopOnInterrupt } from '../interrupt.js';
import { Progress } from '../progress.js';
import { showTraining } from '../train-progress.js';
import { wholeNumber } from '../values.js';

interface QuickstartFlags {
  readonly out: string;
  readonly budget: string;
  readonly seed: number;
  readonly force?: true;
  readonly device?: string;
}

/** `bantam quickstart` */
export function addQuickstart(program: Command): void {
  const command = program
    .command('quickstart')
    .description('download data, train for five minutes, evaluate and write a report')
    .option('--out <folder>', 'folder for the model, the index and the report', 'quickstart')
    .option('--budget <amount>', 'training budget: 1m, 50ksamples', '5m')
    .option('--seed <n>', 'seed of weights, order and augmentation', wholeNumber, 0)
    .option('--force', 'replace a quickstart in the folder')
    .addOption(deviceOption());
  examples(command, ['bantam quickstart', 'bantam quickstart --budget 1m --out /tmp/quick']);
  action(command, async (flags: QuickstartFlags) => {
    const { quickstart } = await import('../../quickstart/index.js');
    const { formatTable } = await import('../../eval/index.js');
    const progress = new Progress();
    const showData = showEmojiData(progress);
    const showTrain = showTraining(progress);
    const showEmbed = showEmbedding(progress);
    try {
      const result = await quickstart({
        ...flags,
        signal: stopOnInterrupt('stopping; the same command resumes'),
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
