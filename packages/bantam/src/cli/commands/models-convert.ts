import type { Command } from 'commander';
import { action, examples } from '../command.js';
import { fetchModel, MODEL_NAMES } from '../model-names.js';
import { Progress } from '../progress.js';
import { positiveInteger } from '../values.js';

interface ConvertFlags {
  readonly to: string;
  readonly out: string;
  readonly imageSize?: number;
  readonly contextLength?: number;
  readonly merges?: string;
  readonly fused?: true;
}

/** `bantam models convert` */
export function addConvert(models: Command): void {
  const command = models
    .command('convert')
    .description('write a model as a directory in the format of another library, or for inference')
    .argument('<model>', MODEL_NAMES)
    .requiredOption('--to <format>', 'hugging-face, open-clip or openai')
    .requiredOption('--out <dir>', 'new model directory')
    .option(
      '--image-size <pixels>',
      'interpolate position embeddings for another resolution',
      positiveInteger,
    )
    .option(
      '--context-length <tokens>',
      'interpolate position embeddings for longer or shorter texts',
      positiveInteger,
    )
    .option('--fused', 'fuse branches and batch norms: faster inference (MobileCLIP, SiCLIP)')
    .option(
      '--merges <file>',
      "vocabulary of CLIP's kind, if the model has no tokenizer and its own is not CLIP's",
    );
  examples(command, [
    'bantam models convert runs/first/model --to hugging-face --out first-hf',
    'bantam models convert clip-vit-base-patch32 --to open-clip --out vit-b-32',
    'bantam models convert ViT-B-32.pt --to open-clip --out vit-b-32 --image-size 288',
    'bantam models convert runs/siclip/model --to open-clip --fused --out siclip-fused',
  ]);
  action(command, async ({ to, out, ...options }: ConvertFlags, source: string) => {
    await fetchModel(source, new Progress());
    const { convertModel, describeModel } = await import('../../models/index.js');
    const converted = await convertModel(source, out, { format: to, ...options });
    const { config, withoutTokenizer } = converted;
    const note = withoutTokenizer === null ? '' : `\nWithout a tokenizer: ${withoutTokenizer}`;
    return {
      text: `Converted ${source} (${describeModel(config)}) to ${to}: ${out}${note}`,
      json: { out, format: to, ...converted },
    };
  });
}
