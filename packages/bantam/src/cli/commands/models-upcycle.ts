import { Option, type Command } from 'commander';
import { action, examples } from '../command.js';
import { fetchModel, MODEL_NAMES } from '../model-names.js';
import { Progress } from '../progress.js';
import { positiveInteger, wholeNumber } from '../values.js';

interface UpcycleFlags {
  readonly out: string;
  readonly towers: 'both' | 'image' | 'text';
  readonly experts: number;
  readonly topK: number;
  readonly every: number;
  readonly seed: number;
}

/** `bantam models upcycle` */
export function addUpcycle(models: Command): void {
  const command = models
    .command('upcycle')
    .description('turn a dense model into a mixture of experts with the same features (CLIP-UP)')
    .argument('<model>', `dense model: ${MODEL_NAMES}`)
    .requiredOption('--out <dir>', 'model directory to write')
    .addOption(
      new Option('--towers <which>', 'towers with mixtures of experts')
        .choices(['both', 'image', 'text'])
        .default('both'),
    )
    .option('--experts <n>', 'experts per mixture', positiveInteger, 8)
    .option('--top-k <n>', 'experts per token', positiveInteger, 2)
    .option('--every <n>', 'every n-th block gets a mixture', positiveInteger, 2)
    .option('--seed <n>', 'seed of the routers', wholeNumber, 0);
  examples(command, [
    'bantam models upcycle runs/first/model --out sparse',
    'bantam models upcycle runs/first/model --out sparse --towers image --experts 4',
  ]);
  action(command, async ({ out, towers, seed, ...sizes }: UpcycleFlags, model: string) => {
    const { Generator } = await import('@bantam/torch');
    await fetchModel(model, new Progress());
    const { parameterCount, upcycleModel } = await import('../../models/index.js');
    const { experts, topK, every } = sizes;
    const moe = { experts, topK, every };
    const config = await upcycleModel({
      model,
      out,
      vision: towers === 'text' ? null : moe,
      text: towers === 'image' ? null : moe,
      generator: new Generator({ seed }),
    });
    const parameters = parameterCount(config);
    const millions = (parameters.total / 1e6).toFixed(1);
    return {
      text: `Upcycled ${model} to ${millions}M parameters: ${out}`,
      json: { out, config, parameters },
    };
  });
}
